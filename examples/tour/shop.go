package main

import (
	"fmt"
	"sync"
)

// shop is what the server is about.
type shop struct {
	books []book

	mu       sync.Mutex
	reserved map[int]book
	last     int
}

func newShop() *shop {
	return &shop{
		books: []book{
			{"978-0", "The Go Programming Language"},
			{"978-1", "Site Reliability Engineering"},
			{"979-2", "A Philosophy of Software Design"},
		},
		reserved: map[int]book{},
	}
}

func (s *shop) find(isbn string) (book, error) {
	for _, b := range s.books {
		if b.ISBN == isbn {
			return b, nil
		}
	}
	return book{}, fmt.Errorf("there is no book with the ISBN %q; search for it first", isbn)
}

func (s *shop) reserve(b book) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.reserved[s.last] = b
	return s.last, nil
}

func (s *shop) release(number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.reserved, number)
	return nil
}
