"""What vulture takes for dead and isn't, by the reason why. Never imported; see `./pana lint`."""

# Python, its HTTP server, click, rich, expat, sqlite3, SQLAlchemy, pydantic, uvicorn, httpx, web3.py and
# ipfshttpclient call or read these.
_.__getattr__
_.trace
_.format_commands
_.format_epilog
_.format_usage
_.convert
_.shell_complete
_.StartElementHandler
_.EndElementHandler
_.CharacterDataHandler
_.EntityDeclHandler
_.AttlistDeclHandler
_.ExternalEntityRefHandler
_.SkippedEntityHandler
_.StartDoctypeDeclHandler
_.StartNamespaceDeclHandler
_.row_factory
_.isolation_level
_._value_
_.model_config
_.schema_
_.send_400_response
_.msg
_.handle_request
_._init
_.addr
_._make_session
_._do_raise_for_status
_.protocol_version
_.do_POST
_.log_message
_.make_batch_request
_.is_connected

# What programs reach the contracts by: `web3.panachain`.
_.panachain

# Attributes that are read by their name, a table that tests hold the documents against, a parameter of an overload.
_._owns_network
_.KINDS
_.third

# Fields of results, which programs read or which go out as JSON, whole objects at a time.
_.revoked_block
_.group_name
_.manager_name
_.member_names
_.patient_name
_.requester_name
_.expires
_.index_version
_.as_of
_.opened_as
_.wanted_until
_.gas_left
_.gas_left_for_revocations
_.gas_left_for_taking_back
_.allows
_.mathematics
_.nobody

# The adapters mirror the contracts, function by function: other programs call these, and tests compare them.
_.prove_fork
_.prove_head
_.reinstate
_.is_active
_.record_ledger
_.close_by_registrar
_.checkpoint
_.checkpoints
_.cosign
_.review
_.enforce
_.unpair
_.pairing_of

# uvicorn finds the event loop by its name; fields of an OpenAPI description are read by pydantic.
_.Loop
_.token_issuer

# One record of one patient's, for programs that know its envelope; `locate_all` is the form that the SDK uses.
_.locate

# Programs ask for a hospital's sequence and head as the contract's function has them.
_.ledger_of

# ast.NodeVisitor calls them by their names.
_.visit_AnnAssign
_.visit_JoinedStr
_.visit_Break
_.visit_Continue

# Python's own machinery calls or reads them: raw files, and finalizers at the end of a program.
_.readinto
_.atexit

# A result's names, for programs.
_.invited_names

# Pytest calls the hooks of its plugins by their names; Python reads the other one.
_.pytest_collection_modifyitems
_.pytest_collection
_.pytest_runtest_logreport
_.pytest_runtestloop
_.pytest_fixture_setup
_.dont_write_bytecode

# Jinja2 reads what templates may call; pages of the portal call the others.
_.globals
_.is_statement
_.corrections
_.convictions
_.refuses
_.holds
_.more_sensitive

# A journal's rows by their names, in the overview of a hospital, and a protocol's only method.
_.next_at
_.latest_at
_.updated_at
_.__call__

# What a benchmark prints.
_.p95
_.slowest

# Pillow reads it.
_.MAX_IMAGE_PIXELS

# A protocol's call, which a type checker reads.
_.__call__

# Which functions may see secrets: scripts/check_secret_scalars.py reads it as text, and a test.
SECRET_TAKERS
# Python reads it, and tools that show errors.
_.__context__
# fpdf2 calls it at the end of each page.
_.footer
