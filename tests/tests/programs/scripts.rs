//! Interpreters that run one script each: sqlite3, perl, PHP.

use super::same;
use stratalloc_tests::tools::{Folder, preloadable};

const SQL: &str = "
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, city TEXT, note BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  INSERT INTO person SELECT i, 'name ' || (i * 7919 % 10007), 'city ' || (i % 97), zeroblob(i % 300) FROM n;
CREATE INDEX by_name ON person(name);
CREATE INDEX by_city ON person(city, name);
SELECT city, count(*), sum(length(note)), group_concat(id % 10, '') FROM person WHERE id % 13 = 0 GROUP BY city ORDER BY 2 DESC, 1;
UPDATE person SET note = hex(note) || name WHERE id % 5 = 0;
DELETE FROM person WHERE id % 7 = 3;
SELECT count(*), sum(length(note)), max(length(note)) FROM person;
SELECT a.id, b.id FROM person a JOIN person b ON a.name = b.name AND a.id < b.id WHERE a.city = 'city 42' ORDER BY 1, 2 LIMIT 500;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words SELECT name || ' ' || city || ' ' || substr('alpha beta gamma delta epsilon', id % 20) FROM person LIMIT 20000;
SELECT count(*) FROM words WHERE words MATCH 'gamma AND city';
SELECT json_group_array(json_object('id', id, 'name', name)) FROM person WHERE id < 2000;
VACUUM;
PRAGMA integrity_check;
SELECT sum(id * length(name)) FROM person;
";

#[test]
fn sqlite3_runs_a_script_on_a_file() {
    let folder = Folder::new("sqlite");
    let sqlite = preloadable("sqlite3", "sqlite3");
    let outcomes = same(&sqlite, |run, name| run.arg(folder.join(name)).input(SQL));
    assert!(outcomes[1].out().contains("\nok\n"), "integrity_check: {}", outcomes[1]);
    let [libc, ours] = ["libc", "library"].map(|name| std::fs::read(folder.join(name)).expect("the database"));
    assert!(libc == ours, "the databases differ");
}

const PERL: &str = r#"
use strict; use warnings;
my ($state, %words, @lists) = (12345);
sub random { $state = ($state * 1103515245 + 12345) % 2147483648; return $state % $_[0] }
for my $i (1 .. 200000) {
    my $word = join '', map { chr(97 + random(26)) } 1 .. 1 + random(12);
    $words{$word} .= "$i,";
    push @{ $lists[random(500)] }, $word x random(4);
    splice @{ $lists[random(500)] || [] }, 0, random(5) if $i % 3 == 0;
}
my $text = join ' ', map { join '-', @{ $_ || [] } } @lists;
my $vowels = () = $text =~ /[aeiou]+[^aeiou]*/g;
(my $swapped = $text) =~ s/(\w)(\w)/$2$1/g;
print scalar(keys %words), " $vowels ", unpack('%32C*', $swapped), "\n";
print join(' ', (sort { length $words{$b} <=> length $words{$a} || $a cmp $b } keys %words)[0 .. 50]), "\n";
for my $n (1 .. 8) {
    my $pid = open(my $from, '-|') // die "fork: $!";
    unless ($pid) { print unpack('%32C*', join ',', map { $_ x $n } sort values %words), "\n"; exit 0 }
    print "child $n: ", <$from>;
    close $from or die "child $n: $?";
}
my $big = 'x' x 50_000_000; $big .= 'y' for 1 .. 1000; print length($big), "\n";
"#;

#[test]
fn perl_runs_a_script_that_forks() {
    let perl = preloadable("perl", "perl");
    // Perl seeds its hashes at random; their order must not show here, but their memory may.
    same(&perl, |run, _| run.arg("-").env("PERL_HASH_SEED", "0").input(PERL));
}

const PHP: &str = r#"<?php
mt_srand(12345);
$lists = [];
for ($i = 0; $i < 200000; $i++) {
    $key = 'k' . mt_rand(0, 20000);
    $lists[$key][] = ['n' => $i, 's' => str_repeat(chr(97 + $i % 26), mt_rand(0, 60))];
    if ($i % 3 === 0) array_splice($lists[$key], 0, mt_rand(0, 2));
}
ksort($lists);
$json = json_encode($lists);
echo strlen($json), ' ', md5($json), ' ', md5(serialize(json_decode($json, true))), "\n";
echo preg_match_all('/a+[^a]*b/', $json), ' ', count(array_unique(str_split($json, 7))), "\n";
$base = new PDO('sqlite::memory:');
$base->exec('CREATE TABLE t(k, n)');
$put = $base->prepare('INSERT INTO t VALUES (?, ?)');
foreach ($lists as $key => $list) $put->execute([$key, count($list)]);
foreach ($base->query('SELECT n, count(*) c, min(k) k FROM t GROUP BY n ORDER BY n') as $row) echo "$row[n] $row[c] $row[k]\n";
$document = new DOMDocument();
$root = $document->appendChild($document->createElement('r'));
foreach (array_slice($lists, 0, 3000) as $key => $list) $root->appendChild($document->createElement($key, (string) count($list)));
echo md5($document->saveXML()), ' ', (new DOMXPath($document))->query('//*[. > 9]')->length, "\n";
echo implode(',', get_loaded_extensions()), "\n";
"#;

/// PHP loads its extensions, PDO and DOM here, for themselves (`RTLD_DEEPBIND`).
#[test]
fn php_runs_a_script_with_extensions() {
    let php = preloadable("php", "php-cli");
    same(&php, |run, _| run.input(PHP));
}
