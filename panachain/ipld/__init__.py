"""Codecs of content addressing: CIDs, dag-cbor, UnixFS, CAR and links. They do no I/O and know no store."""
