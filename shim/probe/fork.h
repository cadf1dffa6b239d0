/* What fork leaves in a child: nothing of the parent's segment, threads or descriptors. */
#pragma once

/* Registers the handler, once. */
void fork_watch(void);

/* What the handler does; also called where a bare clone() was noticed by the wiped word. */
void fork_child_forget(void);
