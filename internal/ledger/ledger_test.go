package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

var testHeader = Header{Purpose: "test/1", Seed: 7, Base: 3}

// write makes a ledger with the payloads and returns its bytes and the offset
// where every record ends.
func write(t testing.TB, path string, payloads ...string) ([]byte, []int64) {
	t.Helper()
	l, err := Create(path, testHeader, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ends := []int64{l.Bytes()}
	for i, p := range payloads {
		seq, err := l.Append(uint16(i+1), []byte(p))
		if err != nil || seq != testHeader.Base+uint64(i) {
			t.Fatalf("append %d: seq %d, %v", i, seq, err)
		}
		ends = append(ends, l.Bytes())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != ends[len(ends)-1] {
		t.Fatalf("file has %d bytes, Bytes said %d", len(b), ends[len(ends)-1])
	}
	return b, ends
}

func read(path string) ([]string, Info, error) {
	var got []string
	info, err := Read(path, func(r Record) error {
		got = append(got, string(r.Payload))
		return nil
	})
	return got, info, err
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ledger")
	write(t, path, "one", "", "three")
	got, info, err := read(path)
	if err != nil || fmt.Sprint(got) != "[one  three]" || info.Header != testHeader || info.Records != 3 || info.TornBytes != 0 {
		t.Fatalf("%q %+v %v", got, info, err)
	}
	l, again, err := Open(path, Options{}, nil)
	if err != nil || again.Head != info.Head || l.Head() != info.HeadHex() || l.Next() != 6 {
		t.Fatalf("%+v %v", again, err)
	}
	if seq, err := l.AppendSync(9, []byte("four")); seq != 6 || err != nil {
		t.Fatal(seq, err)
	}
	head := l.Head()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal("second close:", err)
	}
	if _, err := l.Append(1, nil); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	if got, info, err := read(path); len(got) != 4 || info.HeadHex() != head || err != nil {
		t.Fatal(got, err)
	}
}

func TestCreateRefusesAnExistingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ledger")
	write(t, path, "kept")
	if _, err := Create(path, testHeader, Options{}); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	if got, _, err := read(path); len(got) != 1 || err != nil {
		t.Fatal(got, err)
	}
	if _, _, err := Open(filepath.Join(t.TempDir(), "none"), Options{}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// Whatever prefix of the file a crash leaves, opening gives a prefix of the
// records, and appending goes on from there.
func TestAnyPrefixReopens(t *testing.T) {
	dir := t.TempDir()
	b, ends := write(t, filepath.Join(dir, "whole"), "first", "", "the third", strings.Repeat("x", 40))
	for n := int(ends[0]); n <= len(b); n++ {
		path := filepath.Join(dir, "cut")
		if err := os.WriteFile(path, b[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		want := 0
		for want+1 < len(ends) && ends[want+1] <= int64(n) {
			want++
		}
		l, info, err := Open(path, Options{}, nil)
		if err != nil || info.Records != uint64(want) || info.TornBytes != int64(n)-ends[want] {
			t.Fatalf("prefix of %d bytes: %+v %v, want %d records", n, info, err, want)
		}
		if _, err := l.AppendSync(1, []byte("after")); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got, info, err := read(path); err != nil || len(got) != want+1 || info.TornBytes != 0 {
			t.Fatalf("prefix of %d bytes, after append: %q %v", n, got, err)
		}
	}
	for n := range int(ends[0]) {
		path := filepath.Join(dir, "cut")
		if err := os.WriteFile(path, b[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(path, Options{}, nil); !errors.Is(err, ErrForeign) && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("header cut at %d: %v", n, err)
		}
	}
}

// Every flipped bit before the last record is corruption and leaves the file
// alone; one in the last record costs that record and no other.
func TestAnyFlippedBitIsNoticed(t *testing.T) {
	dir := t.TempDir()
	b, ends := write(t, filepath.Join(dir, "whole"), "first", "", "the third", "the last one")
	path := filepath.Join(dir, "bad")
	for i := range b {
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			if err := os.WriteFile(path, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			_, info, err := read(path)
			switch {
			case int64(i) < ends[0]:
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) {
					t.Fatalf("header byte %d bit %d: %v", i, bit, err)
				}
			case int64(i) < ends[len(ends)-2]:
				if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), path+": offset ") {
					t.Fatalf("byte %d bit %d: %+v %v", i, bit, info, err)
				}
				if _, _, err := Open(path, Options{}, nil); !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				if after, _ := os.ReadFile(path); !bytes.Equal(after, bad) {
					t.Fatal("a refused file was changed")
				}
			default:
				if err != nil || info.Records != 3 || info.TornBytes == 0 {
					t.Fatalf("last record, byte %d bit %d: %+v %v", i, bit, info, err)
				}
			}
		}
	}
}

func TestRecordsDoNotMoveBetweenFilesOrPlaces(t *testing.T) {
	dir := t.TempDir()
	b, ends := write(t, filepath.Join(dir, "a"), "aaaa", "bbbb", "cccc")
	swapped := append(bytes.Clone(b[:ends[0]]), b[ends[1]:ends[2]]...)
	swapped = append(append(swapped, b[ends[0]:ends[1]]...), b[ends[2]:]...)
	dropped := append(bytes.Clone(b[:ends[0]]), b[ends[1]:]...)
	other := appendHeader(nil, Header{Purpose: "test/1", Seed: 8, Base: 3})
	for name, bad := range map[string][]byte{"swapped": swapped, "dropped": dropped} {
		if _, err := Decode(bytes.NewReader(bad), int64(len(bad)), name, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	foreign := append(other, b[ends[0]:]...)
	info, err := Decode(bytes.NewReader(foreign), int64(len(foreign)), "foreign", nil)
	if err != nil || info.Records != 0 {
		t.Errorf("records of another file were accepted: %+v %v", info, err)
	}
}

func TestTheLockNamesItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ledger")
	l, err := Create(path, testHeader, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Open(path, Options{}, nil)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Fatal(err)
	}
	if _, err := Create(path, testHeader, Options{}); !errors.Is(err, ErrLocked) {
		t.Fatal(err)
	}
	// Another process is refused too.
	cmd := exec.Command(os.Args[0], "-test.run=TestChildOpens")
	cmd.Env = append(os.Environ(), "LEDGER_CHILD="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, _, err = Open(path, Options{}, nil)
	if err != nil {
		t.Fatal("after close:", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestChildOpens(t *testing.T) {
	path := os.Getenv("LEDGER_CHILD")
	if path == "" {
		t.Skip("runs inside TestTheLockNamesItsOwner")
	}
	if _, _, err := Open(path, Options{}, nil); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getppid())) {
		t.Fatal(err)
	}
}

// faulty fails the write that would pass its room, after writing what fits,
// and every sync from the syncsLeft-th on.
type faulty struct {
	File
	room      int
	syncsLeft int
	syncs     int
}

func (f *faulty) Write(b []byte) (int, error) {
	if len(b) > f.room {
		n, err := f.File.Write(b[:f.room])
		f.room = 0
		return n, errors.Join(err, syscall.ENOSPC)
	}
	f.room -= len(b)
	return f.File.Write(b)
}

func (f *faulty) Sync() error {
	f.syncs++
	if f.syncs > f.syncsLeft {
		return syscall.EIO
	}
	return f.File.Sync()
}

func TestAFullDiskIsStickyAndLosesNothing(t *testing.T) {
	for room := 80; room < 200; room += 7 {
		path := filepath.Join(t.TempDir(), "a.ledger")
		fault := &faulty{room: room, syncsLeft: 1 << 30}
		l, err := Create(path, testHeader, Options{Wrap: func(f File) File { fault.File = f; return fault }})
		if err != nil {
			t.Fatal(err)
		}
		durable := 0
		for range 10 {
			if _, err = l.AppendSync(1, []byte("0123456789")); err != nil {
				break
			}
			durable++
		}
		if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		fault.room = 1 << 20 // space comes back, trust does not
		if _, err := l.Append(1, nil); !errors.Is(err, ErrFailed) {
			t.Fatal(err)
		}
		if err := l.Close(); !errors.Is(err, ErrFailed) {
			t.Fatal(err)
		}
		l, info, err := Open(path, Options{}, nil)
		if err != nil || info.Records != uint64(durable) {
			t.Fatalf("room %d: %+v %v, want %d", room, info, err, durable)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFailedSyncIsNeverTriedAgain(t *testing.T) {
	fault := &faulty{room: 1 << 20, syncsLeft: 1}
	l, err := Create(filepath.Join(t.TempDir(), "a"), testHeader, Options{Wrap: func(f File) File { fault.File = f; return fault }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendSync(1, nil); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := l.Sync(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, ErrFailed) || fault.syncs != 2 {
		t.Fatal(err, fault.syncs)
	}
}

func TestLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ledger")
	l, err := Create(path, testHeader, Options{BytesMax: 200})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(1, make([]byte, MaxPayloadBytes+1)); err == nil {
		t.Error("an oversized payload was accepted")
	}
	if _, err := l.Append(1, make([]byte, 200)); !errors.Is(err, ErrFull) {
		t.Error(err)
	}
	if _, err := l.AppendSync(1, []byte("fits")); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Create(path+"2", Header{Purpose: strings.Repeat("p", 256)}, Options{}); err == nil {
		t.Error("a long purpose was accepted")
	}
	// More torn bytes than one append can leave are damage, not a tail.
	b := appendHeader(nil, testHeader)
	b = append(b, make([]byte, MaxPayloadBytes+2*recordFixedBytes)...)
	if _, err := Decode(bytes.NewReader(b), int64(len(b)), "zeros", nil); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

func TestBufferedAppendsArriveInOrder(t *testing.T) {
	dir, files := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		files++
		path := filepath.Join(dir, fmt.Sprint(files))
		sizes := rapid.SliceOfN(rapid.IntRange(0, 3*flushBytes/2), 0, 12).Draw(rt, "sizes")
		l, err := Create(path, Header{}, Options{})
		if err != nil {
			rt.Fatal(err)
		}
		for i, n := range sizes {
			if _, err := l.Append(uint16(i), bytes.Repeat([]byte{byte(i)}, n)); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "sync") {
				if err := l.Sync(); err != nil {
					rt.Fatal(err)
				}
			}
		}
		head := l.Head()
		if err := l.Close(); err != nil {
			rt.Fatal(err)
		}
		i := 0
		info, err := Read(path, func(r Record) error {
			if int(r.Kind) != i || len(r.Payload) != sizes[i] || r.Seq != uint64(i) {
				return fmt.Errorf("record %d: kind %d, %d bytes", i, r.Kind, len(r.Payload))
			}
			i++
			return nil
		})
		if err != nil || i != len(sizes) || info.HeadHex() != head {
			rt.Fatal(i, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	dir := f.TempDir()
	b, ends := write(f, filepath.Join(dir, "seed"), "one", "two")
	f.Add(b)
	f.Add(b[:ends[1]+3])
	f.Add(b[:10])
	f.Add(append(bytes.Clone(b), make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var prev [32]byte
		n := uint64(0)
		info, err := Decode(bytes.NewReader(b), int64(len(b)), "fuzz", func(r Record) error {
			if r.Chain == prev {
				t.Fatal("the chain stood still")
			}
			prev = r.Chain
			n++
			return nil
		})
		if err != nil {
			return
		}
		if info.Records != n || info.Bytes+info.TornBytes != int64(len(b)) {
			t.Fatalf("%+v over %d bytes and %d records", info, len(b), n)
		}
		// What was accepted has one wire form.
		again := appendHeader(nil, info.Header)
		if !bytes.HasPrefix(b, again) {
			t.Fatal("the header does not encode to what was read")
		}
	})
}
