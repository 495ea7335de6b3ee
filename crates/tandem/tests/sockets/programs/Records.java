import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/** For each line that it reads: `send TEXT`, or `poll`, which waits for a record. */
public class Records {
    public static void main(String[] arguments) throws Exception {
        String text = "org.apache.kafka.common.serialization.String";
        Map<String, Object> settings = Map.of(
            "bootstrap.servers", arguments[0], "client.id", "records",
            "key.serializer", text + "Serializer", "value.serializer", text + "Serializer",
            "key.deserializer", text + "Deserializer", "value.deserializer", text + "Deserializer",
            "group.id", "readers", "auto.offset.reset", "earliest");
        try (Admin admin = Admin.create(settings)) {
            admin.createTopics(List.of(new NewTopic("orders", 1, (short) 1))).all().get();
        }
        System.out.println("ready");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        KafkaProducer<String, String> producer = null;
        KafkaConsumer<String, String> consumer = null;
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            if (line.startsWith("send ")) {
                if (producer == null) producer = new KafkaProducer<>(settings);
                producer.send(new ProducerRecord<>("orders", line.substring(5))).get();
            } else {
                if (consumer == null) {
                    consumer = new KafkaConsumer<>(settings);
                    consumer.subscribe(List.of("orders"));
                }
                while (consumer.poll(Duration.ofMillis(200)).isEmpty()) { }
            }
            System.out.println("done");
        }
        System.exit(0);
    }
}
