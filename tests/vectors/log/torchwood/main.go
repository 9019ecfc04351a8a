// Checks the vectors of a proxy's log with Go's torchwood, which is nobody's here: go run . ../log.json
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	raw, _ := os.ReadFile(os.Args[1])
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		panic(err)
	}
	verifier, err := note.NewVerifier(v["verifier_key"].(string))
	if err != nil {
		panic(err)
	}
	name := strings.SplitN(v["witness_key"].(string), "+", 2)[0]
	signer, err := torchwood.NewCosignatureSigner(name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{4}, 32)))
	if err != nil {
		panic(err)
	}
	cosigner := signer.Verifier()
	n, err := note.Open([]byte(v["checkpoint"].(string)), note.VerifierList(verifier, cosigner))
	if err != nil {
		panic(err)
	}
	fmt.Println("signatures verified:", len(n.Sigs))
	c, err := torchwood.ParseCheckpoint(n.Text)
	if err != nil {
		panic(err)
	}
	fmt.Println("origin", c.Origin, "size", c.N, "root", hex.EncodeToString(c.Hash[:]) == v["root"].(string))
	inc := v["inclusion"].(map[string]any)
	var p tlog.RecordProof
	for _, h := range inc["path"].([]any) {
		var x tlog.Hash
		b, _ := hex.DecodeString(h.(string))
		copy(x[:], b)
		p = append(p, x)
	}
	idx := int64(inc["index"].(float64))
	fmt.Println("inclusion:", tlog.CheckRecord(p, c.N, c.Hash, idx, tlog.RecordHash([]byte(fmt.Sprintf("entry %d", idx)))))
	g := v["growth"].(map[string]any)
	var tp tlog.TreeProof
	for _, h := range g["proof"].([]any) {
		var x tlog.Hash
		b, _ := hex.DecodeString(h.(string))
		copy(x[:], b)
		tp = append(tp, x)
	}
	var old tlog.Hash
	b, _ := hex.DecodeString(g["root"].(string))
	copy(old[:], b)
	fmt.Println("growth:", tlog.CheckTree(tp, c.N, c.Hash, int64(g["before"].(float64)), old))
	for _, sig := range n.Sigs {
		if t, err := torchwood.CosignatureTimestamp(sig); err == nil {
			fmt.Println("cosigned at", t)
		}
	}
	// tlog-proof, by its specification.
	parts := strings.SplitN(v["proof"].(string), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	var q tlog.RecordProof
	for _, l := range lines[2:] {
		h, err := tlog.ParseHash(l)
		if err != nil {
			panic(err)
		}
		q = append(q, h)
	}
	m, err := note.Open([]byte(parts[1]), note.VerifierList(verifier))
	if err != nil {
		panic(err)
	}
	c2, _ := torchwood.ParseCheckpoint(m.Text)
	fmt.Println("proof:", lines[0], tlog.CheckRecord(q, c2.N, c2.Hash, idx, tlog.RecordHash([]byte(fmt.Sprintf("entry %d", idx)))))
}
