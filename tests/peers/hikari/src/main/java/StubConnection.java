import java.sql.Array;
import java.sql.Blob;
import java.sql.CallableStatement;
import java.sql.Clob;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.NClob;
import java.sql.PreparedStatement;
import java.sql.SQLClientInfoException;
import java.sql.SQLException;
import java.sql.SQLFeatureNotSupportedException;
import java.sql.SQLWarning;
import java.sql.SQLXML;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Struct;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Executor;

/**
 * A connection to nowhere, that costs the pool as little as a connection can: what a pool asks of it
 * when it is made, borrowed and returned is answered from fields, all else is refused.
 */
final class StubConnection implements Connection {
    private boolean isAutoCommit = true;
    private boolean isReadOnly;
    private boolean isClosed;
    private int isolation = TRANSACTION_READ_COMMITTED;
    private int networkTimeout;
    private String catalog = "stub";
    private String schema = "public";

    private static SQLException refused() {
        return new SQLFeatureNotSupportedException("a stub has no database");
    }

    @Override public boolean isValid(int timeout) { return !isClosed; }
    @Override public boolean isClosed() { return isClosed; }
    @Override public void close() { isClosed = true; }
    @Override public void abort(Executor executor) { isClosed = true; }
    @Override public void commit() { }
    @Override public void rollback() { }
    @Override public void clearWarnings() { }
    @Override public SQLWarning getWarnings() { return null; }
    @Override public boolean getAutoCommit() { return isAutoCommit; }
    @Override public void setAutoCommit(boolean on) { isAutoCommit = on; }
    @Override public boolean isReadOnly() { return isReadOnly; }
    @Override public void setReadOnly(boolean on) { isReadOnly = on; }
    @Override public int getTransactionIsolation() { return isolation; }
    @Override public void setTransactionIsolation(int level) { isolation = level; }
    @Override public int getNetworkTimeout() { return networkTimeout; }
    @Override public void setNetworkTimeout(Executor executor, int ms) { networkTimeout = ms; }
    @Override public String getCatalog() { return catalog; }
    @Override public void setCatalog(String name) { catalog = name; }
    @Override public String getSchema() { return schema; }
    @Override public void setSchema(String name) { schema = name; }
    @Override public int getHoldability() { return 0; }
    @Override public void setHoldability(int holdability) { }
    @Override public boolean isWrapperFor(Class<?> type) { return type.isInstance(this); }
    @Override public <T> T unwrap(Class<T> type) { return type.cast(this); }

    @Override public Statement createStatement() throws SQLException { throw refused(); }
    @Override public Statement createStatement(int a, int b) throws SQLException { throw refused(); }
    @Override public Statement createStatement(int a, int b, int c) throws SQLException { throw refused(); }
    @Override public PreparedStatement prepareStatement(String sql) throws SQLException { throw refused(); }
    @Override public PreparedStatement prepareStatement(String sql, int a) throws SQLException { throw refused(); }
    @Override public PreparedStatement prepareStatement(String sql, int[] a) throws SQLException { throw refused(); }
    @Override public PreparedStatement prepareStatement(String sql, String[] a) throws SQLException { throw refused(); }
    @Override public PreparedStatement prepareStatement(String sql, int a, int b) throws SQLException { throw refused(); }
    @Override public PreparedStatement prepareStatement(String sql, int a, int b, int c) throws SQLException { throw refused(); }
    @Override public CallableStatement prepareCall(String sql) throws SQLException { throw refused(); }
    @Override public CallableStatement prepareCall(String sql, int a, int b) throws SQLException { throw refused(); }
    @Override public CallableStatement prepareCall(String sql, int a, int b, int c) throws SQLException { throw refused(); }
    @Override public String nativeSQL(String sql) throws SQLException { throw refused(); }
    @Override public DatabaseMetaData getMetaData() throws SQLException { throw refused(); }
    @Override public Map<String, Class<?>> getTypeMap() throws SQLException { throw refused(); }
    @Override public void setTypeMap(Map<String, Class<?>> map) throws SQLException { throw refused(); }
    @Override public Savepoint setSavepoint() throws SQLException { throw refused(); }
    @Override public Savepoint setSavepoint(String name) throws SQLException { throw refused(); }
    @Override public void rollback(Savepoint savepoint) throws SQLException { throw refused(); }
    @Override public void releaseSavepoint(Savepoint savepoint) throws SQLException { throw refused(); }
    @Override public Clob createClob() throws SQLException { throw refused(); }
    @Override public Blob createBlob() throws SQLException { throw refused(); }
    @Override public NClob createNClob() throws SQLException { throw refused(); }
    @Override public SQLXML createSQLXML() throws SQLException { throw refused(); }
    @Override public Array createArrayOf(String type, Object[] elements) throws SQLException { throw refused(); }
    @Override public Struct createStruct(String type, Object[] attributes) throws SQLException { throw refused(); }
    @Override public Properties getClientInfo() throws SQLException { throw refused(); }
    @Override public String getClientInfo(String name) throws SQLException { throw refused(); }

    @Override public void setClientInfo(String name, String value) throws SQLClientInfoException {
        throw new SQLClientInfoException();
    }

    @Override public void setClientInfo(Properties properties) throws SQLClientInfoException {
        throw new SQLClientInfoException();
    }
}
