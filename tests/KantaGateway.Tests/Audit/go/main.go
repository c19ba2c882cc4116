// Checks a log of KantaGateway with the code that checks Go's own checksum database: golang.org/x/mod/sumdb/tlog and note.
// Nothing here is taken from the product; what it reads are the C2SP formats.
//
// usage: verify FOLDER, which holds vkey, old and new (two checkpoints), proof (a tlog-proof), and tile/ with the tiles and entry bundles of the new tree.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type tiles struct{ folder string }

func (t tiles) Height() int { return height }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var read [][]byte
	for _, tile := range wanted {
		content, err := os.ReadFile(t.path(tile))
		if err != nil {
			return nil, err
		}
		read = append(read, content)
	}
	return read, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// Go's paths have the height in them, and call entries data.
func (t tiles) path(tile tlog.Tile) string {
	path := strings.TrimPrefix(tile.Path(), "tile/8/")
	if strings.HasPrefix(path, "data/") {
		path = "entries/" + strings.TrimPrefix(path, "data/")
	}
	return filepath.Join(t.folder, "tile", path)
}

func main() {
	if err := verify(os.Args[1]); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
}

func verify(folder string) error {
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			panic(err)
		}
		return content
	}
	log, err := note.NewVerifier(strings.TrimSpace(string(read("vkey"))))
	if err != nil {
		return err
	}
	before, err := open(read("old"), log)
	if err != nil {
		return fmt.Errorf("old checkpoint: %w", err)
	}
	now, err := open(read("new"), log)
	if err != nil {
		return fmt.Errorf("new checkpoint: %w", err)
	}
	if err := included(read("proof"), log); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	hashes, err := entries(now, tiles{folder})
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(now.N, before.N, tlog.TileHashReader(now, tiles{folder}))
	if err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	if err := tlog.CheckTree(proof, now.N, now.Hash, before.N, before.Hash); err != nil {
		return fmt.Errorf("consistency: %w", err)
	}
	for _, tile := range tlog.NewTiles(height, 0, now.N) {
		want, err := tlog.ReadTileData(tile, hashes)
		if err != nil {
			return err
		}
		// Go publishes every width of an unfinished tile; the last one begins with the others.
		widest := tile
		if rest := now.N >> (height * tile.L) & (1<<height - 1); tile.N == now.N>>(height*(tile.L+1)) {
			widest.W = int(rest)
		}
		given, err := tiles{folder}.ReadTiles([]tlog.Tile{widest})
		if err != nil || !bytes.HasPrefix(given[0], want) {
			return fmt.Errorf("%s does not follow from the entries", tile.Path())
		}
	}
	fmt.Printf("verified: %d entries, %d before\n", now.N, before.N)
	return nil
}

func open(signed []byte, log note.Verifier) (tlog.Tree, error) {
	var tree tlog.Tree
	opened, err := note.Open(signed, note.VerifierList(log))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != log.Name() {
		return tree, errors.New("not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// C2SP tlog-proof.
func included(text []byte, log note.Verifier) error {
	head, checkpoint, found := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !found || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a proof")
	}
	tree, err := open(checkpoint, log)
	if err != nil {
		return err
	}
	leaf, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return err
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(leaf))
}

// Reads every entry, and makes the tree anew from them.
func entries(tree tlog.Tree, from tiles) (tlog.HashReader, error) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	for index := int64(0); index < tree.N; {
		tile := tlog.Tile{H: height, L: -1, N: index >> height, W: 1 << height}
		if tree.N-index < 1<<height {
			tile.W = int(tree.N - index)
		}
		bundle, err := os.ReadFile(from.path(tile))
		if err != nil {
			return nil, err
		}
		for ; len(bundle) >= 2; index++ {
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			if end > len(bundle) {
				return nil, errors.New("entries: a bundle is cut off")
			}
			hashes, err := tlog.StoredHashes(index, bundle[2:end], reader)
			if err != nil {
				return nil, err
			}
			stored = append(stored, hashes...)
			bundle = bundle[end:]
		}
	}
	root, err := tlog.TreeHash(tree.N, reader)
	if err != nil {
		return nil, err
	}
	if root != tree.Hash {
		return nil, errors.New("entries: they are not what is signed")
	}
	return reader, nil
}
