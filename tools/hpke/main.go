// A second implementation of our seals, for tests: Go's own crypto/hpke, with the suite of panachain/crypto/hpke.py.
//
// Reads a JSON object a line and answers each with one. Nothing but tests runs it: it takes and prints secret keys.
// Follows RFC 9180 and draft-ietf-hpke-pq; byte strings are hex.
package main

import (
	"bufio"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

type question struct {
	Do     string // public, seal or open
	Seed   string // 32 bytes of a secret key
	Public string // 1,216 bytes of a public key
	Info   string
	Bytes  string // what is sealed or opened
}

type answer struct {
	Bytes string `json:"bytes"`
	Error string `json:"error"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var asked question
		found, err := []byte(nil), json.Unmarshal(lines.Bytes(), &asked)
		if err == nil {
			found, err = asked.answer()
		}
		told := answer{Bytes: hex.EncodeToString(found)}
		if err != nil {
			told.Error = err.Error()
		}
		line, _ := json.Marshal(told)
		fmt.Println(string(line))
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (q question) answer() ([]byte, error) {
	kem, kdf, aead := hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.ChaCha20Poly1305()
	info, err := hex.DecodeString(q.Info)
	if err != nil {
		return nil, err
	}
	content, err := hex.DecodeString(q.Bytes)
	if err != nil {
		return nil, err
	}
	if q.Do == "seal" {
		public, err := hex.DecodeString(q.Public)
		if err != nil {
			return nil, err
		}
		key, err := kem.NewPublicKey(public)
		if err != nil {
			return nil, err
		}
		return hpke.Seal(key, kdf, aead, info, content)
	}
	seed, err := hex.DecodeString(q.Seed)
	if err != nil {
		return nil, err
	}
	key, err := kem.NewPrivateKey(seed)
	if err != nil {
		return nil, err
	}
	switch q.Do {
	case "public":
		return key.PublicKey().Bytes(), nil
	case "open":
		return hpke.Open(key, kdf, aead, info, content)
	}
	return nil, fmt.Errorf("nothing is called %q here", q.Do)
}
