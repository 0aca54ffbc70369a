// Command browser opens Arqon's pages in a real headless Chromium and holds
// them to what they promise: readable without scripts and without a network,
// at the width of a desk and of a phone.
//
//	browser [-shots DIR] FILE.html...
//
// It is a module of its own, so that nobody who uses Arqon downloads a
// browser's protocol. Exit 1: a page breaks a promise; 2: no browser answered.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// screens are the widths in CSS pixels at which every page must fit.
var screens = []struct {
	name          string
	width, height int64
	phone         bool
}{{"desk", 1280, 900, false}, {"phone", 390, 844, true}}

// pageTimeout bounds one page at one width.
const pageTimeout = time.Minute

func main() {
	shots := flag.String("shots", "", "write a screenshot of every page and width to this `DIR`")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "browser: no page was named\nhint: browser gates/report/testdata/night.html")
		os.Exit(2)
	}
	bad, err := check(context.Background(), flag.Args(), *shots)
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		os.Exit(2)
	}
	if bad > 0 {
		os.Exit(1)
	}
}

// check opens every page at every width and returns how many broke a promise.
func check(ctx context.Context, files []string, shots string) (bad int, err error) {
	name, err := find()
	if err != nil {
		return 0, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(name), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	browser, stop := chromedp.NewContext(ctx)
	defer stop()
	if err := chromedp.Run(browser); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	for _, file := range files {
		for _, s := range screens {
			shot := ""
			if shots != "" {
				shot = filepath.Join(shots, fmt.Sprintf("%s-%s.png", strings.TrimSuffix(filepath.Base(file), ".html"), s.name))
			}
			found, err := look(browser, file, s.width, s.height, s.phone, shot)
			if err != nil {
				return bad, fmt.Errorf("%s at %d pixels: %w", file, s.width, err)
			}
			if len(found) > 0 {
				bad++
			}
			fmt.Printf("%-50s %-5s %4d px  %s\n", file, s.name, s.width, verdict(found))
		}
	}
	return bad, nil
}

func verdict(found []string) string {
	if len(found) == 0 {
		return "ok"
	}
	return "BROKEN: " + strings.Join(found, "; ")
}

// find is the browser of the machine.
func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium is installed\nhint: apt-get install chromium")
}

// look opens a page with scripts off and the network down, and says what is
// wrong with it.
func look(browser context.Context, file string, width, height int64, phone bool, shot string) (found []string, err error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	tab, closeTab := chromedp.NewContext(browser)
	defer closeTab()
	tab, cancel := context.WithTimeout(tab, pageTimeout)
	defer cancel()
	address := "file://" + path
	var mu sync.Mutex
	chromedp.ListenTarget(tab, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok && e.Request.URL != address {
			mu.Lock()
			found = append(found, "asks for "+e.Request.URL)
			mu.Unlock()
		}
	})
	var text string
	var content float64
	err = chromedp.Run(tab,
		network.Enable(),
		network.EmulateNetworkConditions(true, 0, 0, 0),
		emulation.SetScriptExecutionDisabled(true),
		emulation.SetDeviceMetricsOverride(width, height, 1, phone),
		chromedp.Navigate(address),
		chromedp.ActionFunc(func(ctx context.Context) error {
			_, _, _, _, _, size, err := page.GetLayoutMetrics().Do(ctx)
			if err == nil {
				content = size.Width
			}
			return err
		}),
		chromedp.Text("body", &text, chromedp.ByQuery),
		chromedp.ActionFunc(func(ctx context.Context) error {
			if shot == "" {
				return nil
			}
			b, err := page.CaptureScreenshot().WithCaptureBeyondViewport(true).Do(ctx)
			if err != nil { // longer than a picture may be: the first screen of it
				b, err = page.CaptureScreenshot().Do(ctx)
			}
			if err != nil {
				return err
			}
			return os.WriteFile(shot, b, 0o644)
		}),
	)
	if err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	if over := content - float64(width); over >= 1 {
		found = append(found, fmt.Sprintf("%.0f pixels wider than the screen", math.Ceil(over)))
	}
	if len(strings.Fields(text)) < 20 {
		found = append(found, "shows next to nothing without scripts")
	}
	return found, nil
}
