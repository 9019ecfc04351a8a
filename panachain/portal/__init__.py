"""The portal: PanaChain's pages, served to the browser of whoever uses this process.

Stands above the command line, which reaches it by name only, and beside the devnet. The SDK does the work: nothing here
touches a key, a chain or a store by itself. Follows docs/spec/portal.md.
"""
