/*
 * pins.h
 *		The pin slots of backends, as the keeper of state sees them: what open readers may still need.
 *
 * A backend keeps in its slot the oldest and the newest tick that its statements have pinned, and the oldest xmin of
 * their snapshots (read/pin.c writes it).
 */
#ifndef SF_PINS_H
#define SF_PINS_H

#include "streamfuse.h"

#include "state/shared.h"

/*
 * The oldest tick of a database that readers may still come to read (at most the published one), and the oldest xmin
 * (at most the next transaction's number): closes below it are found in the output table by every pinned reader.
 *
 * A reader may be pinning right now.  Its tick is safe from a horizon taken by the database's only worker.  Its windows
 * are safe only if the horizon is taken and the windows are unlinked under one exclusive hold of the fragment's lock:
 * a reader that locks it later finds evicted_xid.
 */
extern void sf_pin_horizon(Oid database, SfTick *tick, uint64 *xmin);

/* Gives up the pins of a database older than tick.  Who reads at one learns it from sf_pin_expired. */
extern void sf_pin_expire(Oid database, SfTick tick);

/* Has the pin under which this process reads at tick been given up?  Asked under the fragment's lock. */
extern bool sf_pin_expired(SfTick tick);

#endif							/* SF_PINS_H */
