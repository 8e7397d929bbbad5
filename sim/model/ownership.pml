/* Who may run a guest that is cut over from host A to host B, whatever dies, is lost, or comes late.
 *
 * A model of the rules, not of the code: README.md maps each process to the files that keep them. `check` explores it to
 * the end. Each rule that can be left out is behind a macro, and leaving it out must be found.
 *
 * A message stays once it is sent: it may arrive never, late, again, in any order; it ends with the process that it was
 * sent to, as its connection does. An agent's step is one transition from one durable state to the next, and a crash may
 * come between any two.
 */
#define EPOCHS 2   /* cutovers at most; FOR_EACH_EPOCH lists them */
#define FOR_EACH_EPOCH(step) step(1) step(2)
#ifndef CRASHES
#define CRASHES 2
#endif

mtype = {
  none, paused, running,                                  /* a guest's QEMU on one host */
  held, armed, promised, moved,                           /* the source's journal */
  absent, staged, accepted, released, serving,            /* the standby's journal; absent: none, refused or dropped */
  part, whole                                             /* how much of the guest a shadow holds */
};

/* Host A. */
bool a_up = true, a_power = true;  /* its agent; the machine */
mtype a_guest = running;
mtype a_phase = held;
byte a_epoch = 0;          /* journal: the newest it took part in */
byte a_inc = 0;            /* journal, with the promise: the incarnation of the standby's journal that accepted */
bool a_continued = false;  /* QEMU was told to send the rest */
bool a_sent = false;       /* Released has left, or may have: a later life of the agent cannot know */
bool a_autostart = true, a_defined = true;
bool a_stale = false;      /* ghost: the guest has left this memory behind */

/* Host B. */
bool b_up = true, b_power = true;
mtype b_guest = none;
mtype b_memory = part;
mtype b_phase = absent;
byte b_epoch = 0;          /* journal: the newest it answered for */
byte b_served = 0;         /* journal: the newest in which the guest ran here */
byte b_inc = 1;            /* journal: its incarnation */
bool b_resuming = false;   /* libvirt was told to resume and has not done so yet; its caller may have given up */
bool b_dying = false;      /* the same with destroy */
bool b_stale = false;      /* ghost */

/* The controller's store. */
byte c_epoch = 0;
byte c_open = 0;            /* the cutover whose end is not known; 0: none */
bool c_on_b = false;        /* the owner */
bool c_taken_over = false;  /* started on B after A was fenced */
bool c_heard = true;        /* both hosts have reported since it was opened */

/* Messages, by epoch; replies by the incarnation that gives them. */
#define N (EPOCHS + 1)
bool m_cutover[N], m_accept[N], m_accepted1[N], m_accepted2[N], m_released[N], m_moved[N];
bool m_refuse[N], m_refuse1[N];  /* by a source that promised nothing; by one that promised to incarnation 1 */
bool m_refuse2[N], m_refused1[N], m_refused2[N], m_unknown[N];

/* Ghosts. */
bool alert = false;         /* somebody has been told to look */
bool no_power = false;      /* a host has lost power: a guest may have ended with it */
bool was_promised[N];
byte accepted_in[N];        /* the incarnation that accepted the epoch */
byte crashes = 0, journals = 0, stores = 0;
bool quiet = false;         /* no more faults, no more cutovers */
byte next;

#define max(x, y) (x > y -> x : y)
#define ONE_RUNNER   assert(!(a_guest == running && b_guest == running))
/* A guest that resumes leaves behind whatever copy of it is paused elsewhere. */
#define A_RESUMES    assert(!a_stale); a_guest = running; ONE_RUNNER; \
                     if :: b_guest == paused && b_memory == whole -> b_stale = true :: else fi
#define B_RESUMES    assert(b_memory == whole && !b_stale); b_guest = running; ONE_RUNNER; \
                     if :: a_guest == paused -> a_stale = true :: else fi
/* One that boots has no memory of before, and its disks leave every copy behind. */
#define A_BOOTS      a_guest = running; ONE_RUNNER; a_stale = false; \
                     if :: b_guest == paused && b_memory == whole -> b_stale = true :: else fi
#define B_BOOTS      b_guest = running; ONE_RUNNER; b_stale = false; b_memory = whole; \
                     if :: a_guest == paused -> a_stale = true :: else fi
#define A_ENDS       a_guest = none; a_stale = false
#define B_ENDS       b_guest = none; b_memory = part; b_stale = false; b_resuming = false; b_dying = false

#define HELD         a_phase = held; a_inc = 0; a_continued = false; a_sent = false

/* ---- Host A's agent -------------------------------------------------------------------------------------------------- */

/* arm: the epoch is durable before anybody is asked. accept goes out, or is lost. A request of the controller is served
 * once, and what was answered to an earlier accept is not an answer to this one. */
#define ARMED(e) m_cutover[e] = false; a_epoch = e; a_phase = armed; a_inc = 0; a_continued = false; a_sent = false; \
                 m_accepted1[e] = false; m_accepted2[e] = false
#define ARM(e) \
  :: d_step { a_up && a_phase == held && a_guest == running && a_epoch < e && m_cutover[e] && b_phase == staged -> \
     ARMED(e); m_accept[e] = true } \
  :: d_step { a_up && a_phase == held && a_guest == running && a_epoch < e && m_cutover[e] && b_phase == staged -> \
     ARMED(e) }

/* promise: durable before the guest stops, together with the incarnation that accepted. Autostart goes first. */
#ifdef AUTOSTART_KEPT
#define AUTOSTART_OFF
#else
#define AUTOSTART_OFF a_autostart = false;
#endif
#define PROMISE(e, inc, m_accepted) \
  :: d_step { a_up && a_phase == armed && a_epoch == e && a_guest == running && m_accepted[e] -> \
     assert(!was_promised[e]); /* an epoch is promised once */ \
     was_promised[e] = true; AUTOSTART_OFF a_phase = promised; a_inc = inc }
#define PROMISES(e) PROMISE(e, 1, m_accepted1) PROMISE(e, 2, m_accepted2)

#define TAKE_BACK    HELD; a_autostart = a_defined; if :: a_guest == paused -> A_RESUMES :: else fi
/* Released has not left, and this life of the agent knows it: the promise may be taken back. */
#ifdef ALONE_AFTER_RELEASED
#define NOT_SENT true
#else
#define NOT_SENT !a_sent
#endif

/* settle: the standby is asked until it answers. The answer must be of the journal that accepted. */
#ifdef NO_INCARNATION
#define ANSWERED(e)  (m_refused1[e] || m_refused2[e])
#else
#define ANSWERED(e)  (a_inc == 1 && m_refused1[e] || a_inc == 2 && m_refused2[e])
#endif
#define SETTLE(e) \
  :: d_step { a_up && a_phase == promised && a_epoch == e && a_sent && a_inc == 1 && !m_refuse1[e] -> m_refuse1[e] = true } \
  :: d_step { a_up && a_phase == promised && a_epoch == e && a_sent && a_inc == 2 && !m_refuse2[e] -> m_refuse2[e] = true } \
  :: d_step { a_up && a_phase == promised && a_epoch == e && ANSWERED(e) -> \
     assert(accepted_in[e] == 1 && m_refused1[e] || accepted_in[e] == 2 && m_refused2[e]); /* no decision on a lost journal */ \
     TAKE_BACK } \
  :: d_step { a_up && a_phase == promised && a_epoch == e && m_moved[e] -> HELD; a_phase = moved } \
  :: d_step { a_up && a_phase == promised && a_epoch == e && m_unknown[e] && !alert -> alert = true } \
  :: d_step { a_up && a_phase == armed && a_epoch == e -> m_refuse[e] = true; HELD } /* nothing was promised */ \
  :: d_step { a_up && a_phase == promised && a_epoch == e && a_guest == paused && !a_sent -> m_released[e] = true; a_sent = true }

proctype Source() {
  do
  :: d_step { a_up && b_up && !quiet && a_phase == held && a_guest == running && b_guest == none &&
              b_phase == absent -> /* Standby.Stage */
     b_guest = paused; b_memory = part; b_phase = staged }
  FOR_EACH_EPOCH(ARM)
  FOR_EACH_EPOCH(PROMISES)
  /* stop, then migrate-continue and Released, in either order; each may be lost */
  :: d_step { a_up && a_phase == promised && !a_sent && !a_continued && a_guest == running -> a_guest = paused }
  :: d_step { a_up && a_phase == promised && !a_continued && a_guest == paused && b_guest == paused ->
     a_continued = true; b_memory = whole }
  :: d_step { a_up && a_phase == promised && !a_sent && a_guest == paused -> a_sent = true } /* and never arrives */
  :: d_step { a_up && a_phase == promised && NOT_SENT && a_guest != none -> TAKE_BACK }
  :: d_step { a_up && a_phase == promised && !a_sent && a_guest == none -> a_sent = true } /* ended: the standby is asked */
  FOR_EACH_EPOCH(SETTLE)
  /* leave: what moved away is cleared away */
  :: d_step { a_up && a_phase == moved && (a_guest != none || a_defined) ->
     assert(a_guest != running); A_ENDS; a_defined = false; a_autostart = false }
  od
}

/* ---- Host B's agent -------------------------------------------------------------------------------------------------- */

#define ANSWER(what, e) if :: b_inc == 1 -> what ## 1[e] = true :: else -> what ## 2[e] = true fi
#define ACCEPT(e) \
  :: d_step { b_up && (b_phase == staged || b_phase == accepted) && b_guest == paused && b_epoch < e && m_accept[e] -> \
     b_epoch = e; b_phase = accepted; accepted_in[e] = b_inc; ANSWER(m_accepted, e) } \
  :: d_step { b_up && b_phase == accepted && b_epoch == e && m_accept[e] && \
     !(b_inc == 1 && m_accepted1[e] || b_inc == 2 && m_accepted2[e]) -> ANSWER(m_accepted, e) } /* asked again */ \
  :: d_step { b_up && b_phase == accepted && b_epoch == e && m_released[e] -> b_phase = released } \
  :: d_step { b_up && b_served >= e && (b_served == e || m_refuse1[e] || m_refuse2[e]) && !m_moved[e] -> m_moved[e] = true }
/* Without warrants anybody may say Released. */
#ifdef NO_WARRANT
#define FORGED :: d_step { b_up && b_phase == accepted -> b_phase = released }
#else
#define FORGED
#endif
/* Refused is an answer only once that QEMU can never run: it is dead. */
#ifdef REFUSED_BEFORE_DEAD
#define KILL b_dying = true
#else
#define KILL B_ENDS
#endif
/* One record holds one epoch: a newer one's refusal must not take the place of one that is accepted. */
#ifdef REFUSAL_OVER_ACCEPTED
#define OLDER_IS_DECIDED(e) true
#else
#define OLDER_IS_DECIDED(e) (b_epoch >= e || b_phase != accepted && b_phase != released)
#endif
#define ANSWERED_ALREADY(e) (b_inc == 1 && m_refused1[e] || b_inc == 2 && m_refused2[e])
/* A journal from before the acceptance has the incarnation, and not the epoch. */
#ifdef NO_KNOWN_EPOCH
#define KNOWN(e) true
#else
#define KNOWN(e) (b_epoch >= e)
#endif
#define REFUSE(e, m, may) \
  :: d_step { b_up && m[e] && (may) && b_guest != running && b_phase != serving && b_served < e && !ANSWERED_ALREADY(e) && \
     !(b_phase == released && b_epoch == e && b_guest == none) && /* it may have run */ \
     OLDER_IS_DECIDED(e) -> \
     if :: (b_phase == accepted || b_phase == released) && b_epoch == e -> b_phase = absent; KILL :: else fi; \
     if :: b_epoch < e -> b_epoch = e :: else fi; /* an accept that is still on its way must find it refused */ \
     ANSWER(m_refused, e) }
#ifdef NO_INCARNATION
#define REFUSALS(e) REFUSE(e, m_refuse, true) REFUSE(e, m_refuse1, true) REFUSE(e, m_refuse2, true)
#else
#define REFUSALS(e) REFUSE(e, m_refuse, true) REFUSE(e, m_refuse1, b_inc == 1 && KNOWN(e)) \
  REFUSE(e, m_refuse2, b_inc == 2 && KNOWN(e)) \
  :: d_step { b_up && m_refuse1[e] && (b_inc != 1 || !KNOWN(e)) && !m_unknown[e] -> m_unknown[e] = true } \
  :: d_step { b_up && m_refuse2[e] && b_inc == 2 && !KNOWN(e) && !m_unknown[e] -> m_unknown[e] = true }
#endif

proctype Standby() {
  do
  FOR_EACH_EPOCH(ACCEPT)
  FORGED
  FOR_EACH_EPOCH(REFUSALS)
  :: d_step { b_up && b_phase == released && b_guest == paused && b_memory == whole && !b_resuming && !b_dying ->
     b_resuming = true }
  :: d_step { b_up && b_phase == released && b_guest == running -> b_phase = serving; b_served = b_epoch }
  /* Its QEMU ended while it was taking over: it may have run. It stays here, shut off. */
  :: d_step { b_up && b_phase == released && b_guest == none -> b_phase = serving; b_served = b_epoch; alert = true }
#ifndef NO_LEASE
  /* A lease that ends, a list that leaves it out, a QEMU that died: as a refusal, durable, and dead. */
  :: d_step { b_up && b_phase == accepted -> b_phase = absent; B_ENDS }
  :: d_step { b_up && b_phase == released && b_guest == paused && b_memory == part -> b_phase = absent; B_ENDS }
  :: d_step { b_up && b_phase == staged && (quiet || b_guest == none) -> b_phase = absent; B_ENDS }
#endif
  od
}

/* libvirtd and QEMU on host B, at their own time. */
proctype Libvirt() {
  do
  :: d_step { b_resuming && b_guest == paused && !b_dying -> b_resuming = false; B_RESUMES }
  :: d_step { b_resuming && b_guest == paused && b_dying -> b_resuming = false; B_RESUMES }
  :: d_step { b_dying -> B_ENDS }
  od
}

/* ---- The controller, and who operates it ------------------------------------------------------------------------------ */

#ifdef EPOCH_REUSED
#define NEWEST c_epoch
#else
#define NEWEST max(c_epoch, max(a_epoch, b_epoch))
#endif
#define ISSUE(e) \
  :: d_step { !quiet && c_open == 0 && !c_on_b && c_heard && a_up && b_up && NEWEST + 1 == e -> \
     assert(e > a_epoch && e > b_epoch); /* no epoch is issued that a node knows */ \
     c_epoch = e; c_open = e; m_cutover[e] = true }

proctype Controller() {
  do
  FOR_EACH_EPOCH(ISSUE)
  :: d_step { !c_heard && a_up && b_up -> c_heard = true; c_epoch = NEWEST; c_on_b = (b_phase == serving || b_guest == running) }
  /* How a cutover ended: the source says so, or whoever serves. */
  :: d_step { a_up && a_phase == held && c_open != 0 -> c_open = 0 }
  :: d_step { a_up && a_phase == moved && (!c_on_b || c_open != 0) -> c_on_b = true; c_open = 0 }
#ifndef ASK_SOURCE_ONLY
  :: d_step { b_up && b_phase == serving && (!c_on_b || c_open != 0) -> c_on_b = true; c_open = 0 }
#endif
  :: d_step { b_up && b_guest == running && b_phase != serving && b_phase != released && (!c_on_b || c_open != 0) ->
     c_on_b = true; c_open = 0 } /* its journal is lost, but it runs there */
  :: d_step { a_up && a_guest == running && a_phase == held && c_on_b && b_guest != running && b_phase != serving -> c_on_b = false }
  /* fence A, confirmed; then restart on B */
  :: d_step { !a_up && a_power && !quiet ->
#ifndef FENCE_UNCONFIRMED
     if :: a_guest != none -> no_power = true :: else fi; A_ENDS; a_power = false;
     if :: b_guest == paused && b_memory == part -> B_ENDS :: else fi; /* its stream has ended */
#endif
     c_taken_over = true }
  :: d_step { c_taken_over && !a_up && b_up && b_guest != running && b_phase != serving ->
     next = NEWEST + 1; B_ENDS; B_BOOTS; b_phase = serving; b_epoch = next; b_served = next; c_epoch = next; c_on_b = true; c_open = 0; next = 0 }
  /* resolve: both are paused, somebody was alerted, and looks at both */
  :: d_step { alert && a_up && b_up && a_guest == paused && !a_stale && b_guest != running && b_phase != serving ->
     next = NEWEST + 1; B_ENDS; b_phase = absent; b_epoch = next; a_epoch = next; c_epoch = next; c_open = 0;
     HELD; a_autostart = a_defined; A_RESUMES; next = 0 }
  :: d_step { alert && a_up && b_up && a_guest != running && b_guest == paused && b_memory == whole && !b_stale ->
     next = NEWEST + 1; A_ENDS; HELD; a_phase = moved; a_epoch = next; b_resuming = false; b_dying = false; B_RESUMES;
     b_phase = serving; b_epoch = next; b_served = next; c_epoch = next; c_on_b = true; c_open = 0; next = 0 }
  od
}

/* ---- What goes wrong ---------------------------------------------------------------------------------------------------- */

/* An agent's next life knows its journal alone, or not even that. */
#ifdef PROMISE_NOT_DURABLE
#define RECOVER_PROMISED HELD; if :: a_guest == paused -> A_RESUMES :: else fi
#else
#define RECOVER_PROMISED a_sent = true
#endif
#define TO_A_LOST(e) m_cutover[e] = false; m_accepted1[e] = false; m_accepted2[e] = false; m_refused1[e] = false; \
                     m_refused2[e] = false; m_unknown[e] = false; m_moved[e] = false;
#define TO_B_LOST(e) m_accept[e] = false; m_released[e] = false; m_refuse[e] = false; m_refuse1[e] = false; m_refuse2[e] = false;
#define A_DOWN    a_up = false; FOR_EACH_EPOCH(TO_A_LOST)
#define B_DOWN    b_up = false; FOR_EACH_EPOCH(TO_B_LOST)
#define A_STARTS  a_up = true; if :: a_phase == promised -> RECOVER_PROMISED :: else fi
#define A_FORGETS a_up = true; HELD; a_epoch = 0; if :: a_guest != running -> alert = true :: else fi
#define B_FORGETS b_up = true; b_phase = absent; b_epoch = 0; b_served = 0; b_inc = 2; \
                  if :: b_guest != none -> alert = true :: else fi
/* A backup of before any cutover: the incarnation is the same, and nothing else of it is true any more. */
#define B_GOES_BACK b_up = true; b_phase = absent; b_epoch = 0; b_served = 0; \
                  if :: b_guest != none -> alert = true :: else fi
#ifdef NO_BOOT_GUARD
#define MAY_BOOT true
#else
#define MAY_BOOT (c_heard && !c_taken_over && !c_on_b)
#endif

proctype Faults() {
  do
  :: d_step { !quiet && a_up && crashes < CRASHES -> A_DOWN crashes++ }
  :: d_step { !quiet && b_up && crashes < CRASHES -> B_DOWN crashes++ }
  :: d_step { !quiet && a_power && crashes < CRASHES -> no_power = true; A_DOWN a_power = false; A_ENDS; crashes++;
     if :: b_guest == paused && b_memory == part -> B_ENDS :: else fi }
  :: d_step { !quiet && b_power && crashes < CRASHES -> no_power = true; B_DOWN b_power = false; B_ENDS; crashes++ }
  :: d_step { !quiet && stores == 0 -> stores++; c_epoch = 0; c_open = 0; c_on_b = false; c_taken_over = false; c_heard = false }
  /* back again */
  :: d_step { a_power && !a_up -> A_STARTS }
  :: d_step { b_power && !b_up -> b_up = true }
  :: d_step { !quiet && a_power && !a_up && journals == 0 -> journals++; A_FORGETS }
  :: d_step { !quiet && b_power && !b_up && journals == 0 -> journals++; B_FORGETS }
  :: d_step { !quiet && b_power && !b_up && journals == 0 -> journals++; B_GOES_BACK }
  :: d_step { !a_power && a_guest == none -> a_power = true;
     if :: a_autostart && MAY_BOOT -> A_BOOTS :: else fi }
  :: d_step { !b_power -> b_power = true; if :: b_phase == serving -> B_BOOTS :: else fi }
  :: d_step { !quiet -> quiet = true }
  od
}

/* Once nothing more can happen, all is settled, or somebody was told. */
active proctype Watch() {
  atomic { run Source(); run Standby(); run Libvirt(); run Controller(); run Faults() }
  timeout -> d_step {
    assert(a_guest == running || b_guest == running || alert || no_power);
    assert(a_defined || b_phase == serving || b_guest == running || alert);
    assert(a_phase != armed && (a_phase != promised || alert));
    assert(b_phase != accepted && (b_phase != released || alert));
    assert(b_phase != staged);
    assert(c_open == 0 || alert);
    assert(a_guest == running && !c_on_b || b_guest == running && c_on_b || a_guest != running && b_guest != running)
  }
}
