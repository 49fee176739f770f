# The tests' own libpq clients, test/client/*.c: where thousands of statements matter, or a journal outside the server.
package Streamfuse::Client;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(build_client);

my $source = dirname(__FILE__) . '/../../client';

# Compiles the client of a name; returns the program.
sub build_client
{
	my ($name) = @_;
	my $program = PostgreSQL::Test::Utils::tempdir() . "/$name";

	system_or_bail('cc', '-O1', '-Wall', '-Werror', '-I' . pg_config('SF_INCLUDE', '--includedir'),
		"$source/client.c", "$source/$name.c", '-o', $program,
		map({ ("-L$_", "-Wl,-rpath,$_") } pg_config('SF_LIB', '--libdir')), '-lpq');
	return $program;
}

# Where PostgreSQL's headers and libraries are: the caller may know better than a copy of its programs.
sub pg_config
{
	my ($variable, $option) = @_;
	my $directory = $ENV{$variable} // `pg_config $option`;

	chomp $directory;
	return $directory;
}

1;
