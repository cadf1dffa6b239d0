import java.io.PrintWriter;
import java.sql.Connection;
import java.util.logging.Logger;
import javax.sql.DataSource;

/** Opens connections to nowhere, at once. */
final class StubDataSource implements DataSource {
    @Override public Connection getConnection() { return new StubConnection(); }
    @Override public Connection getConnection(String user, String password) { return new StubConnection(); }
    @Override public PrintWriter getLogWriter() { return null; }
    @Override public void setLogWriter(PrintWriter writer) { }
    @Override public int getLoginTimeout() { return 0; }
    @Override public void setLoginTimeout(int seconds) { }
    @Override public Logger getParentLogger() { return Logger.getGlobal(); }
    @Override public boolean isWrapperFor(Class<?> type) { return type.isInstance(this); }
    @Override public <T> T unwrap(Class<T> type) { return type.cast(this); }
}
