package universe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

// folderOf is how wazero calls the folder of a version's cache files.
func folderOf(version, arch, system string) string {
	return "wazero-" + version + "-" + arch + "-" + system
}

// cacheFolder is a folder that nobody but this program's user can enter, with a
// machine that looks into it before it compiles. It is used for one thing and
// removed.
type cacheFolder struct {
	root, dir string // dir is wazero's own in it
	machine   *machine
}

// newCacheFolder makes one, empty.
func newCacheFolder() (*cacheFolder, error) {
	root, err := os.MkdirTemp("", "arqon-wazero-") // 0700
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*cacheFolder, error) { return nil, errors.Join(err, os.RemoveAll(root)) }
	cache, err := wazero.NewCompilationCacheWithDir(root)
	if err != nil {
		return fail(err)
	}
	names, err := os.ReadDir(root)
	if err != nil || len(names) != 1 {
		return fail(errors.Join(err, fmt.Errorf("wazero made %d folders for its cache files, want one", len(names))))
	}
	m := &machine{wazero.NewRuntimeWithConfig(context.Background(), machineConfig(false).WithCompilationCache(cache)), cache, nil}
	return &cacheFolder{root, filepath.Join(root, names[0].Name()), m}, nil
}

// version is what wazero calls itself: it is in the folder's name.
func (f *cacheFolder) version() (string, error) {
	before, after, _ := strings.Cut(folderOf("*", goruntime.GOARCH, goruntime.GOOS), "*")
	name := filepath.Base(f.dir)
	if version, ok := strings.CutPrefix(name, before); ok {
		if version, ok := strings.CutSuffix(version, after); ok && version != "" {
			return version, nil
		}
	}
	return "", fmt.Errorf("wazero calls its folder %.80q, which names no version", name)
}

// names lists the cache files.
func (f *cacheFolder) names() ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, err
}

// remove forgets the folder: what wazero has read it keeps in memory.
func (f *cacheFolder) remove() error { return os.RemoveAll(f.root) }

// compileFile compiles a module in a folder of its own and returns wazero's
// version, and name and bytes of the one file that it wrote.
func compileFile(ctx context.Context, module []byte) (version, name string, b []byte, err error) {
	f, err := newCacheFolder()
	if err != nil {
		return "", "", nil, err
	}
	defer func() { err = errors.Join(err, f.machine.close(), f.remove()) }()
	if version, err = f.version(); err != nil {
		return "", "", nil, err
	}
	if _, err = f.machine.runtime.CompileModule(ctx, module); err != nil {
		return "", "", nil, err
	}
	names, err := f.names()
	if err == nil && len(names) != 1 {
		err = fmt.Errorf("wazero wrote %d cache files of a module, want one: it has no compiler for this machine", len(names))
	}
	if err != nil {
		return "", "", nil, err
	}
	b, err = os.ReadFile(filepath.Join(f.dir, names[0]))
	return version, names[0], b, err
}

// longAgo is when a file was written that nobody has written again.
var longAgo = time.Unix(0, 0)

// load compiles a module for which wazero finds the file under the name, and
// proves that it took it: the folder holds the file that was put there and
// nothing else. A miss compiles, and writes.
func (f *cacheFolder) load(ctx context.Context, name string, b, module []byte) (_ wazero.CompiledModule, err error) {
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path, b, 0o400); err != nil {
		return nil, err
	}
	if err := os.Chtimes(path, longAgo, longAgo); err != nil {
		return nil, err
	}
	held, err := os.Open(path) // what is open keeps its inode from being given to another
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	compiled, err := f.machine.runtime.CompileModule(ctx, module)
	if err != nil {
		return nil, err
	}
	if err := f.untouched(held, name, b); err != nil {
		return nil, errors.Join(err, compiled.Close(ctx))
	}
	return compiled, os.Remove(path)
}

// untouched reports whether the folder is as it was.
func (f *cacheFolder) untouched(held *os.File, name string, b []byte) error {
	names, err := f.names()
	if err != nil {
		return err
	}
	if len(names) != 1 || names[0] != name {
		return fmt.Errorf("wazero did not take the file but compiled: the folder has %d files now", len(names))
	}
	path := filepath.Join(f.dir, name)
	before, err := held.Stat()
	if err != nil {
		return err
	}
	after, err := os.Lstat(path)
	if err != nil {
		return err
	}
	now, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !os.SameFile(before, after) || !after.ModTime().Equal(longAgo) || !bytes.Equal(now, b) {
		return errors.New("wazero did not take the file but compiled, and wrote it again")
	}
	return nil
}

// AllowPrecompiled lets the loader use the precompiled code of bundles that
// have any, instead of compiling their modules: never both. Code of another
// compiler or for another processor is then refused, and so is a bundle from
// which a file is missing. c is FindPrecompiler's. Without it the loader
// compiles, and does not look at the code.
func (o *Loader) AllowPrecompiled(c *Precompiler) { o.precompiler = c }

// precompiled makes a machine that loads a bundle's code. Its modules are
// compiled there one after another; then loaded is called.
func (o *Loader) precompiled(k *Kernels) (*machine, error) {
	c := o.precompiler
	if err := c.is.unlike(k.compiled.compilerFile); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", compiledFileName(Widths[0]), ErrBadKernel, err)
	}
	files := map[int][]byte{}
	for i, width := range Widths {
		if _, err := readCompiled(k.code[i], c.is.Wazero); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", compiledFileName(width), ErrBadKernel, err)
		}
		files[width] = k.code[i]
	}
	folder, err := newCacheFolder()
	if err != nil {
		return nil, err
	}
	if got, want := filepath.Base(folder.dir), folderOf(c.is.Wazero, c.is.Arch, c.is.OS); got != want {
		return nil, errors.Join(fmt.Errorf("wazero looks for its files in %.80q, not in %q", got, want), folder.machine.close(), folder.remove())
	}
	m := folder.machine
	m.ready = &ready{folder: folder, features: c.features, files: files}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.others == nil {
		o.others = map[*machine]bool{}
	}
	o.others[m] = true
	return m, nil
}

// ready is the code that a machine loads instead of compiling.
type ready struct {
	folder   *cacheFolder
	features uint64
	files    map[int][]byte // by width
}

func (r *ready) load(ctx context.Context, width int, module []byte) (wazero.CompiledModule, error) {
	out, err := r.folder.load(ctx, compiledName(module, r.features), r.files[width], module)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", compiledFileName(width), err)
	}
	return out, nil
}

// forget closes a machine of a bundle's own.
func (o *Loader) forget(m *machine) error {
	o.mu.Lock()
	delete(o.others, m)
	o.mu.Unlock()
	return m.close()
}
