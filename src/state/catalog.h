/*
 * catalog.h
 *		Rows of the extension's own tables in schema streamfuse, read and written without SPI.
 *
 * Rows are written with their index entries, past privileges, triggers and rules.  Writes become visible to the same
 * transaction after CommandCounterIncrement, which the caller does.  Where a value may be toasted (state.payload,
 * progress.position) the caller has an active snapshot.
 */
#ifndef SF_CATALOG_H
#define SF_CATALOG_H

#include "streamfuse.h"

#include "access/genam.h"
#include "access/htup.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

typedef struct SfCatalog SfCatalog; /* an open table and, once written to, its open indexes */

/* The schema streamfuse, if the extension is installed in this database; else InvalidOid, or an error. */
extern Oid	sf_catalog_schema(bool missing_ok);

/*
 * The layout of the installed objects that this library works with: the body of streamfuse.layout() must be
 * "SELECT " and this number.  Where they do not fit, nothing of ours is read or written: sf_catalog_open raises the
 * error of sf_require_layout.  Needs a transaction.
 */
#define SF_LAYOUT 2

extern bool sf_layout_fits(void);
extern bool sf_layout_is_known(void);	/* known to fit, as of the last look; needs no transaction */
extern void sf_require_layout(void);

/* What does not fit, for a message. */
extern int	sf_layout_detail(void);
extern int	sf_layout_hint(void);

/* Is this table there to be worked with?  For those who come by while objects are dropped, the extension perhaps too. */
extern bool sf_catalog_exists(const char *name);

/* A table, index or sequence of that schema.  Raises an error that says what is wrong when it is not there. */
extern Oid	sf_catalog_relation(const char *name);

/* Close releases the lock: pass NoLock to keep it until the transaction ends. */
extern SfCatalog *sf_catalog_open(const char *name, LOCKMODE lockmode);
extern void sf_catalog_close(SfCatalog *catalog, LOCKMODE lockmode);
extern Relation sf_catalog_table(SfCatalog *catalog);

/* values and nulls hold every column of the table in order; nulls may be NULL. */
extern void sf_catalog_insert(SfCatalog *catalog, Datum *values, bool *nulls);

/* Replaces a row found by a scan; replace[] says which columns get new values (NULL: all). */
extern void sf_catalog_update(SfCatalog *catalog, HeapTuple tuple, Datum *values, bool *nulls, bool *replace);
extern void sf_catalog_delete(SfCatalog *catalog, HeapTuple tuple);

/*
 * Scans by a leading part of the named index (NULL: the whole table, keys are filters).  Keys are made by ScanKeyInit
 * with the table's column numbers; the scan may change them.  snapshot NULL: all that is committed, and this
 * transaction's own.  A row stays valid until the next call; order is not promised.
 */
extern SysScanDesc sf_catalog_scan_begin(SfCatalog *catalog, const char *index, int nkeys, ScanKey keys,
										 Snapshot snapshot);
extern HeapTuple sf_catalog_scan_next(SysScanDesc scan);
extern void sf_catalog_scan_end(SysScanDesc scan);

/* The next value of a sequence of schema streamfuse, e.g. fragment_id or punctuation_id_seq. */
extern int64 sf_catalog_nextval(const char *sequence);

#endif /* SF_CATALOG_H */
