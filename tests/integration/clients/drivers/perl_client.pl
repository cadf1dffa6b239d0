use strict;
use warnings;
use DBI;

my $connection = DBI->connect("dbi:Pg:", "", "", { RaiseError => 0, PrintError => 0, AutoCommit => 1 });
my $statement = $connection->prepare("SELECT id FROM item WHERE id = ?");
for my $number (1 .. 10) {
    $statement->execute($number);
    print join(",", map { $_->[0] } @{ $statement->fetchall_arrayref }), "\n";
}
$connection->do("SELECT no_such_column FROM item");
print $connection->state, "\n";
print $connection->selectrow_array("SELECT count(*) FROM item"), "\n";
$statement->finish;
$connection->disconnect;
