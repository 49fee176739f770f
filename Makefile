# streamfuse: continuous queries for PostgreSQL
EXTENSION    = streamfuse
EXTVERSION   = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" streamfuse.control)
MODULE_big   = streamfuse
OBJS         = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA_built   = sql/streamfuse--$(EXTVERSION).sql
DATA         = $(filter-out $(DATA_built),$(wildcard sql/streamfuse--*--*.sql))
# Tests that call into the library where only a test build lets them.
TEST_BUILD   = $(if $(CHECK),,$(shell grep -lE 'libdir/streamfuse|sf_fault_' test/sql/*.sql test/specs/*.spec))
REGRESS      = $(patsubst test/sql/%.sql,%,$(filter-out $(TEST_BUILD),$(sort $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --load-extension=streamfuse
ISOLATION    = $(patsubst test/specs/%.spec,%,$(filter-out $(TEST_BUILD),$(sort $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=streamfuse
EXTRA_CLEAN  = $(OBJS:.o=.d) $(DATA_built) results output_iso regression.diffs regression.out

# CHECK=1 builds what the tests run: assertions and fault points on.
ifdef CHECK
PG_CPPFLAGS += -DUSE_ASSERT_CHECKING -DSTREAMFUSE_TEST
endif

# SANITIZE=undefined, as the tests build: what C leaves undefined ends the server, and so fails the test that did it.
ifdef SANITIZE
PG_CFLAGS   += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
SHLIB_LINK  += -fsanitize=$(SANITIZE)
endif
PG_CPPFLAGS += -I$(srcdir)/src -Wno-unused-parameter -MMD -MP

# These set up everything they need, PostgreSQL included.
.PHONY: check demo bench
ifneq (,$(filter check demo bench,$(MAKECMDGOALS)))
check:
	test/run
demo:
	demo/run
bench:
	bench/run
else

PG_CONFIG   ?= pg_config
PGXS        := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# WERROR=1, as CI builds: our own warnings are errors, PostgreSQL's headers are system headers.
ifdef WERROR
override CFLAGS += -Wall -Wextra -Werror
override CPPFLAGS := $(subst -I$(includedir_server),-isystem $(includedir_server),$(CPPFLAGS))
endif

sql/streamfuse--$(EXTVERSION).sql: sql/streamfuse.sql
	cp $< $@

# A changed header makes what includes it anew.
-include $(OBJS:.o=.d)

endif
