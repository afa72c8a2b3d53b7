// Calls networkd by zbus's own clients and the stubs that zbusc made: the old one (wire 0) and the new one (wire 1).
//
//	zbus ADDRESS
//
// Each line that comes in is {"id", "wire", "method", "args"}; all run at once; each answer is {"id", "results", "error"}.
// {"stream"} in place of a method writes each event as {"stream", "value"}; {"status"} asks the module's status.
// With the arguments "identityd ADDRESS" it is the identity daemon, of either wire, that opens what was sealed: it takes the bytes
// "sealed:" off the front. A stub that crashes ends the program, as it would end the daemon that calls.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"

	zbus1 "github.com/threefoldtech/zbus"
	zbus0 "zbus0"

	"wirehaul/zbus/stub0"
	"wirehaul/zbus/stub1"
)

type request struct {
	ID     int               `json:"id"`
	Wire   int               `json:"wire"`
	Method string            `json:"method"`
	Args   []json.RawMessage `json:"args"`
	Stream string            `json:"stream"`
	Status bool              `json:"status"`
}

var out sync.Mutex

func write(value interface{}) {
	out.Lock()
	defer out.Unlock()
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

var errorType = reflect.TypeOf((*error)(nil)).Elem()

func call(ctx context.Context, stub interface{}, r request) {
	method := reflect.ValueOf(stub).MethodByName(r.Method)
	if !method.IsValid() {
		panic("no such method in the stub: " + r.Method)
	}
	in := []reflect.Value{reflect.ValueOf(ctx)}
	for i, raw := range r.Args {
		value := reflect.New(method.Type().In(i + 1))
		if err := json.Unmarshal(raw, value.Interface()); err != nil {
			panic(err)
		}
		in = append(in, value.Elem())
	}
	results := []interface{}{}
	var failed *string
	for _, value := range method.Call(in) {
		if value.Type() != errorType {
			results = append(results, value.Interface())
		} else if err, _ := value.Interface().(error); err != nil {
			text := err.Error()
			failed = &text
		}
	}
	write(map[string]interface{}{"id": r.ID, "results": results, "error": failed})
}

func stream(ctx context.Context, stub interface{}, name string) {
	results := reflect.ValueOf(stub).MethodByName(name).Call([]reflect.Value{reflect.ValueOf(ctx)})
	if err, _ := results[1].Interface().(error); err != nil {
		panic(err)
	}
	write(map[string]interface{}{"listening": name})
	for {
		value, ok := results[0].Recv()
		if !ok {
			return
		}
		write(map[string]interface{}{"stream": name, "value": value.Interface()})
	}
}

// Manager is the identity daemon, as far as networkd asks it.
type Manager struct{}

// Decrypt opens what was sealed for the node.
func (*Manager) Decrypt(sealed []byte) ([]byte, error) {
	mark := []byte("sealed:")
	if !bytes.HasPrefix(sealed, mark) {
		return nil, errors.New("it was not sealed for this node")
	}
	return sealed[len(mark):], nil
}

func identity(ctx context.Context, address string, wire string) error {
	if wire == "0" {
		server, err := zbus0.NewRedisServer("identityd", address, 1)
		if err != nil {
			return err
		}
		server.Register(zbus0.ObjectID{Name: "manager", Version: "0.0.1"}, &Manager{})
		write("identityd")
		return server.Run(ctx)
	}
	server, err := zbus1.NewRedisServer("identityd", address, 1)
	if err != nil {
		return err
	}
	server.Register(zbus1.ObjectID{Name: "manager", Version: "0.0.1"}, &Manager{})
	write("identityd")
	return server.Run(ctx)
}

func main() {
	ctx := context.Background()
	if os.Args[1] == "identityd" {
		panic(identity(ctx, os.Args[2], os.Args[3]))
	}
	client0, err := zbus0.NewRedisClient(os.Args[1])
	if err != nil {
		panic(err)
	}
	client1, err := zbus1.NewRedisClient(os.Args[1])
	if err != nil {
		panic(err)
	}
	stubs := []interface{}{stub0.NewOldStub(client0), stub1.NewNewStub(client1)}
	write("ready")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			panic(err)
		}
		switch {
		case r.Stream != "":
			go stream(ctx, stubs[r.Wire], r.Stream)
		case r.Status:
			go func() {
				status, err := client1.Status(ctx, "network")
				if err != nil {
					panic(err)
				}
				write(map[string]interface{}{"id": r.ID, "results": []interface{}{status}, "error": nil})
			}()
		default:
			go call(ctx, stubs[r.Wire], r)
		}
	}
}
