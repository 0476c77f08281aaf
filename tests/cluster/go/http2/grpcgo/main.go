// A client on grpc-go: what Go programs do to a server, and what they see.
//
//	grpcgo ADDRESS calls COUNT PARALLEL SIZE   unary calls; prints {"ok": N, "errors": {...}}
//	grpcgo ADDRESS deadline                    a call that takes longer than its deadline
//	grpcgo ADDRESS cancel COUNT                calls that are cancelled while they run
//	grpcgo ADDRESS gzip SIZE                   a compressed call
//	grpcgo ADDRESS health SERVICE              states of a channel that watches the server's health
//	                                           (lines), until it was ready and is so no more
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	_ "google.golang.org/grpc/health"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const echo, slow = "/t.T/Echo", "/t.T/Slow"

// raw is a codec of messages that are bytes already; those of grpc-go itself are not.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) {
	if message, ok := v.(proto.Message); ok {
		return proto.Marshal(message)
	}
	return *v.(*[]byte), nil
}

func (raw) Unmarshal(data []byte, v any) error {
	if message, ok := v.(proto.Message); ok {
		return proto.Unmarshal(data, message)
	}
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

type result struct {
	Ok     int            `json:"ok"`
	Errors map[string]int `json:"errors"`
	mutex  sync.Mutex
}

func (r *result) add(err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err == nil {
		r.Ok++
	} else {
		r.Errors[status.Code(err).String()]++
	}
}

func call(conn *grpc.ClientConn, path string, timeout time.Duration, size int, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, answer := bytes.Repeat([]byte("x"), size), []byte{}
	if err := conn.Invoke(ctx, path, &request, &answer, opts...); err != nil {
		return err
	}
	if !bytes.Equal(request, answer) {
		return fmt.Errorf("another answer of %d bytes", len(answer))
	}
	return nil
}

// watch prints each state of a channel whose balancer asks grpc.health.v1 which servers to use.
func watch(address, service string) {
	config := fmt.Sprintf(`{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": %q}}`, service)
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(config))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	conn.Connect()
	for ready := false; ; {
		state := conn.GetState()
		fmt.Println(state)
		if ready && state != connectivity.Ready {
			return
		}
		ready = ready || state == connectivity.Ready
		conn.WaitForStateChange(context.Background(), state)
	}
}

func number(place int) int {
	value, err := strconv.Atoi(os.Args[place])
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	encoding.RegisterCodec(raw{})
	if os.Args[2] == "health" {
		watch(os.Args[1], os.Args[3])
		return
	}
	conn, err := grpc.NewClient("passthrough:///"+os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	found := &result{Errors: map[string]int{}}
	switch os.Args[2] {
	case "calls":
		var group sync.WaitGroup
		count, parallel, size := number(3), number(4), number(5)
		for range parallel {
			group.Go(func() {
				for range count / parallel {
					found.add(call(conn, echo, 30*time.Second, size))
				}
			})
		}
		group.Wait()
	case "deadline":
		found.add(call(conn, slow, 20*time.Millisecond, 1))
	case "cancel":
		var group sync.WaitGroup
		for range number(3) {
			group.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				time.AfterFunc(5*time.Millisecond, cancel)
				request, answer := []byte{1}, []byte{}
				found.add(conn.Invoke(ctx, slow, &request, &answer))
			})
		}
		group.Wait()
		found.add(call(conn, echo, 30*time.Second, 10))
	case "gzip":
		found.add(call(conn, echo, 30*time.Second, number(3), grpc.UseCompressor("gzip")))
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		panic(err)
	}
}
