module panachain.invalid/tools/hpke

go 1.26
