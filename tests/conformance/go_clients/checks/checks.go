// Package checks runs named checks against a server and prints a line for each:
// "PASS name" or "FAIL name: why". The runner in suite.py reads these lines.
package checks

import (
	"context"
	"fmt"
	"os"
	"time"
)

// Limit is how long one check may take; a check that hangs has failed.
const Limit = 60 * time.Second

// Check is one thing a client does, against the server whose address it gets.
type Check struct {
	Name string
	Run  func(ctx context.Context, server string) error
}

// Main runs the checks against the server that the first argument names.
func Main(list ...Check) {
	failed := false
	for _, check := range list {
		ctx, cancel := context.WithTimeout(context.Background(), Limit)
		if err := check.Run(ctx, os.Args[1]); err != nil {
			failed = true
			fmt.Printf("FAIL %s: %v\n", check.Name, err)
		} else {
			fmt.Printf("PASS %s\n", check.Name)
		}
		cancel()
	}
	if failed {
		os.Exit(1)
	}
}

// Topic is a name that nobody used before.
func Topic(about string) string {
	return fmt.Sprintf("%s-%d", about, time.Now().UnixNano())
}

// Equal is an error that tells both values, or nil when they are the same.
func Equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

// First is the first error of a list, or nil.
func First(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}
