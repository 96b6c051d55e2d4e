// go.go - Go with net/http. The event is handed on as it came, without a JSON parser.
//
// SPDX-License-Identifier: MIT-0
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
)

func handler(event []byte) []byte {
	return event
}

func main() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	client := &http.Client{} // without a time-out: the next event may take hours
	for {
		next, err := client.Get(base + "next")
		if err != nil {
			log.Fatal(err)
		}
		event, err := io.ReadAll(next.Body)
		if err != nil {
			log.Fatal(err)
		}
		next.Body.Close()
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		reply, err := client.Post(base+id+"/response", "application/json", bytes.NewReader(handler(event)))
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, reply.Body)
		reply.Body.Close()
	}
}
