package universe

import (
	"cmp"
	"slices"

	"github.com/arqon/arqon/benchmarks"
)

// ordered puts a bundle's files as Program.Files writes them. Over the process
// protocol they come back sorted by name, which says nothing.
func ordered(files []benchmarks.File) []benchmarks.File {
	names := []string{kernelFile}
	for _, width := range Widths {
		names = append(names, moduleFile(width), nativeName(width)) // a bundle has one of the two
	}
	for _, width := range Widths {
		names = append(names, compiledFileName(width))
	}
	place := func(f benchmarks.File) int {
		if i := slices.Index(names, f.Name); i >= 0 {
			return i
		}
		return len(names) // what is not known stays behind, in its order
	}
	out := slices.Clone(files)
	slices.SortStableFunc(out, func(a, b benchmarks.File) int { return cmp.Compare(place(a), place(b)) })
	return out
}
