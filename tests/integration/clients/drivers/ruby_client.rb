require 'pg'

connection = PG.connect(host: ENV['PGHOST'], port: ENV['PGPORT'], user: ENV['PGUSER'],
                        dbname: ENV['PGDATABASE'])
10.times { |number| p connection.exec_params('SELECT $1::int + 1', [number]).getvalue(0, 0) }
connection.prepare('by_id', 'SELECT id FROM item WHERE id = $1')
3.times { |number| p connection.exec_prepared('by_id', [number]).ntuples }
begin
  connection.exec('SELECT no_such_column FROM item')
rescue PG::Error => error
  p error.result.error_field(PG::PG_DIAG_SQLSTATE)
end
connection.transaction { |inner| p inner.exec('SELECT count(*) FROM item').getvalue(0, 0) }
connection.close
