// Command digest reads the events of a topic and prints one digest of them, as digest.py does:
// franz-go and hamba/avro, no C library.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

var schemas = map[uint32]avro.Schema{}

func main() {
	wanted, err := strconv.Atoi(os.Getenv("EVENTS"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS"), ",")...),
		kgo.ConsumerGroup("example-digest-go"),
		kgo.ConsumeTopics(os.Getenv("TOPIC")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	seen := map[string]string{} // by key: a repeat carries the same key
	for len(seen) < wanted {
		fetches := client.PollFetches(context.Background())
		if failed := fetches.Errors(); len(failed) > 0 {
			log.Fatal(failed[0].Err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			seen[string(record.Key)] = sha(raw(record.Value))
		})
	}
	lines := make([]string, 0, len(seen))
	for key, digest := range seen {
		lines = append(lines, key+" "+digest+"\n")
	}
	sort.Strings(lines)
	fmt.Printf("{\"events\": %d, \"sha256\": \"%s\"}\n", len(seen), sha([]byte(strings.Join(lines, ""))))
}

// raw decodes a message: a zero byte, four bytes of schema id, the Avro body.
func raw(message []byte) []byte {
	var value map[string]any
	if err := avro.Unmarshal(schema(binary.BigEndian.Uint32(message[1:5])), message[5:], &value); err != nil {
		log.Fatal(err)
	}
	switch content := value["event"].(map[string]any)["raw"].(type) {
	case string:
		return []byte(content)
	case []byte:
		return content
	}
	log.Fatal("an event without raw")
	return nil
}

func schema(id uint32) avro.Schema {
	if found, ok := schemas[id]; ok {
		return found
	}
	answer, err := http.Get(fmt.Sprintf("%s/schemas/ids/%d", os.Getenv("OPSTRAIL_REGISTRY__URL"), id))
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	var told struct{ Schema string }
	if err := json.NewDecoder(answer.Body).Decode(&told); err != nil {
		log.Fatal(err)
	}
	schemas[id] = avro.MustParse(told.Schema)
	return schemas[id]
}

func sha(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
