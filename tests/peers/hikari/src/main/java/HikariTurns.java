import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/**
 * Borrows and returns connections of a HikariCP pool, a turn at a time and only when asked, so that a
 * benchmark can let several pools take turns on one machine.
 *
 * <p>A line of standard input is one turn: "threads connections milliseconds sampled". Its answer is a
 * line of JSON: "ns", the turn's time divided by the pairs of all threads; and if sampled is 1, so that
 * each borrow is timed, "wait_p99_ns" and "wait_max_ns". The asker warms it up with turns of its own.
 */
final class HikariTurns {
    private static final int SAMPLES_MAX = 1 << 18; // a thread; what comes later is not timed
    private static final Map<Integer, HikariDataSource> pools = new HashMap<>();

    private static volatile boolean isOver;

    private HikariTurns() { }

    private static HikariDataSource poolOf(int size) {
        return pools.computeIfAbsent(size, connections -> {
            HikariConfig config = new HikariConfig();
            config.setDataSource(new StubDataSource());
            config.setMaximumPoolSize(connections);
            config.setMinimumIdle(connections);
            return new HikariDataSource(config);
        });
    }

    private static final class Worker extends Thread {
        private final HikariDataSource pool;
        private final CountDownLatch start;
        private final long[] samples;
        private int sampleCount;
        private long pairs;

        Worker(HikariDataSource pool, CountDownLatch start, boolean isSampled) {
            this.pool = pool;
            this.start = start;
            samples = new long[isSampled ? SAMPLES_MAX : 0];
        }

        @Override public void run() {
            try {
                start.await();
                pairs = work();
            } catch (SQLException | InterruptedException failure) {
                failure.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        }

        private long work() throws SQLException {
            long done = 0;
            for (; sampleCount < samples.length && !isOver; done++) {
                long begin = System.nanoTime();
                var connection = pool.getConnection();
                samples[sampleCount++] = System.nanoTime() - begin;
                connection.close();
            }
            for (; !isOver; done++) {
                pool.getConnection().close();
            }
            return done;
        }
    }

    private static String turn(int threads, HikariDataSource pool, int milliseconds, boolean isSampled)
            throws InterruptedException {
        CountDownLatch start = new CountDownLatch(1);
        Worker[] workers = new Worker[threads];
        isOver = false;
        for (int i = 0; i < threads; i++) {
            workers[i] = new Worker(pool, start, isSampled);
            workers[i].start();
        }
        long begin = System.nanoTime();
        start.countDown();
        Thread.sleep(milliseconds);
        isOver = true;
        long pairs = 0;
        for (Worker worker : workers) {
            worker.join();
            pairs += worker.pairs;
        }
        double ns = (double) (System.nanoTime() - begin) / pairs;
        String answer = String.format(Locale.ROOT, "{\"ns\":%.2f", ns);
        return answer + (isSampled ? waits(workers) : "") + "}";
    }

    private static String waits(Worker[] workers) {
        long[] all = Arrays.stream(workers)
            .flatMapToLong(worker -> Arrays.stream(worker.samples, 0, worker.sampleCount))
            .sorted()
            .toArray();
        return String.format(Locale.ROOT, ",\"wait_p99_ns\":%d,\"wait_max_ns\":%d",
            all[(int) (all.length * 99L / 100)], all[all.length - 1]);
    }

    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            System.out.println(turn(Integer.parseInt(words[0]), poolOf(Integer.parseInt(words[1])),
                Integer.parseInt(words[2]), words[3].equals("1")));
        }
        System.exit(0); // the pools' own threads are not waited for
    }
}
