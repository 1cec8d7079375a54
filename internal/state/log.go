package state

import (
	"context"
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

// Record is one entry of a log.
type Record struct {
	Seq  uint64 // from 1, without gaps
	Data []byte
}

// Append adds a record at the end of a log and returns its number. keep bounds the log
// to its newest records; zero keeps all.
func (s *Store) Append(ctx context.Context, log string, data []byte, keep int) (seq uint64, err error) {
	if log == "" || len(log) > MaxKey || len(data) > MaxValue {
		return 0, fmt.Errorf("state: name of a log of %d and record of %d bytes; at most %d and %d are kept", len(log), len(data), MaxKey, MaxValue)
	}
	err = s.do(ctx, true, func(tx *bbolt.Tx) error {
		b, err := tx.Bucket(logBucket).CreateBucketIfNotExists([]byte(log))
		if err != nil {
			return err
		}
		if seq, err = b.NextSequence(); err != nil {
			return err
		}
		if err := b.Put(seqKey(seq), data); err != nil {
			return err
		}
		c := b.Cursor()
		for k, _ := c.First(); k != nil && keep > 0 && binary.BigEndian.Uint64(k)+uint64(keep) <= seq; k, _ = c.First() {
			if err := c.Delete(); err != nil {
				return err
			}
		}
		return nil
	})
	return seq, err
}

// Last returns the newest records of a log, newest first, at most n. A log that nobody
// has written to is empty.
func (s *Store) Last(ctx context.Context, log string, n int) (records []Record, err error) {
	err = s.do(ctx, false, func(tx *bbolt.Tx) error {
		b := tx.Bucket(logBucket).Bucket([]byte(log))
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, data := c.Last(); k != nil && len(records) < n; k, data = c.Prev() {
			records = append(records, Record{binary.BigEndian.Uint64(k), append([]byte{}, data...)})
		}
		return nil
	})
	return records, err
}

// Record returns one record of a log, or ErrNotFound.
func (s *Store) Record(ctx context.Context, log string, seq uint64) (data []byte, err error) {
	err = s.do(ctx, false, func(tx *bbolt.Tx) error {
		if b := tx.Bucket(logBucket).Bucket([]byte(log)); b != nil {
			if raw := b.Get(seqKey(seq)); raw != nil {
				data = append([]byte{}, raw...)
				return nil
			}
		}
		return ErrNotFound
	})
	return data, err
}

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
