"""What the SDK's methods return: frozen values that print themselves as JSON with a `schema`.

Times are Unix seconds where a field ends in `_at`, and aware datetimes under the shorter name: `expires_at`, `expires`.
Fields that name somebody are addresses, for programs; beside them are names for people: `grantee`, `grantee_name`.
Plaintext and content keys are in `OpenedRecord` alone, and stay out of its `repr`.
Schemas are documented in docs/spec/cli.md.
"""
