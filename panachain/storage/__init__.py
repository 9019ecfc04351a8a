"""Storage: blocks by CID, in a folder or in Kubo. Every read is checked against its CID before a byte is used."""
