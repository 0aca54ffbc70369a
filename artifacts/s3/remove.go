package s3

import (
	"context"
	"errors"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/arqon/arqon/artifacts"
)

// Modified returns when the service says that the object was written last.
func (s *Store) Modified(ctx context.Context, name string) (t time.Time, err error) {
	if err := enter(ctx, name); err != nil {
		return t, err
	}
	err = s.repeat(ctx, name, 0, func(ctx context.Context) (outcome, error) {
		info, err := s.core.StatObject(ctx, s.at.Bucket, s.at.key(name), minio.StatObjectOptions{})
		t = info.LastModified
		return judge(ctx, err)
	})
	return t, err
}

// Remove takes the object away. In a bucket with versions the old bytes stay
// until the bucket's own rules take them.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	err := s.repeat(ctx, name, 0, func(ctx context.Context) (outcome, error) {
		return judge(ctx, s.core.RemoveObject(ctx, s.at.Bucket, s.at.key(name), minio.RemoveObjectOptions{}))
	})
	if errors.Is(err, artifacts.ErrNotFound) {
		return nil
	}
	return err
}
