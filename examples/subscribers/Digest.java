import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads the events of a topic and prints one digest of them, as digest.py does: kafka-clients, Avro
 * and the registry's plain interface. With Confluent's KafkaAvroDeserializer `decode` falls away.
 */
public final class Digest {
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static final Map<Integer, GenericDatumReader<GenericRecord>> READERS = new HashMap<>();

  public static void main(String[] arguments) throws Exception {
    Map<String, Object> settings = Map.of(
        "bootstrap.servers", System.getenv("OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS"),
        "group.id", "example-digest-java",
        "auto.offset.reset", "earliest",
        "enable.auto.commit", "false",
        "isolation.level", "read_committed",
        "max.partition.fetch.bytes", 8 * 1024 * 1024);
    int wanted = Integer.parseInt(System.getenv("EVENTS"));
    Map<String, String> seen = new TreeMap<>(); // by key: a repeat carries the same key
    try (var consumer =
        new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
      consumer.subscribe(List.of(System.getenv("TOPIC")));
      while (seen.size() < wanted) {
        for (ConsumerRecord<String, byte[]> each : consumer.poll(Duration.ofSeconds(1))) {
          GenericRecord event = (GenericRecord) decode(each.value()).get("event");
          seen.put(each.key(), sha256(bytes(event.get("raw"))));
        }
      }
    }
    var lines = new StringBuilder();
    seen.forEach((key, digest) -> lines.append(key).append(' ').append(digest).append('\n'));
    System.out.printf(
        "{\"events\": %d, \"sha256\": \"%s\"}%n",
        seen.size(), sha256(lines.toString().getBytes(StandardCharsets.UTF_8)));
  }

  /** A zero byte, four bytes of schema id, the Avro body. */
  private static GenericRecord decode(byte[] message) throws Exception {
    int id = ByteBuffer.wrap(message).getInt(1);
    GenericDatumReader<GenericRecord> reader = READERS.get(id);
    if (reader == null) {
      reader = new GenericDatumReader<>(schema(id));
      READERS.put(id, reader);
    }
    var body = DecoderFactory.get().binaryDecoder(message, 5, message.length - 5, null);
    return reader.read(null, body);
  }

  private static Schema schema(int id) throws Exception {
    URI address = URI.create(System.getenv("OPSTRAIL_REGISTRY__URL") + "/schemas/ids/" + id);
    String answer =
        HTTP.send(HttpRequest.newBuilder(address).build(), HttpResponse.BodyHandlers.ofString())
            .body();
    String text =
        new com.fasterxml.jackson.databind.ObjectMapper().readTree(answer).get("schema").asText();
    return new Schema.Parser().parse(text);
  }

  private static byte[] bytes(Object raw) {
    if (raw instanceof ByteBuffer buffer) {
      byte[] content = new byte[buffer.remaining()];
      buffer.duplicate().get(content);
      return content;
    }
    return raw.toString().getBytes(StandardCharsets.UTF_8);
  }

  private static String sha256(byte[] content) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
  }
}
