#include "agent/pipeline/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/model/resource.h"

/* systemd's id of this installation; without one the host's name has to do. */
static void read_machine(const char *host, char *ret, size_t size)
{
    int CLEANUP(closep) fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd >= 0 ? read(fd, ret, size - 1) : -1;

    if (length <= 0) {
        (void)snprintf(ret, size, "%s", host);
        return;
    }
    ret[length] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

int environment_read(const char *given, struct environment *ret)
{
    const struct attributes *CLEANUP(attributes_unrefp) listed =
        resource_attributes_from(view_from(given));
    struct attribute items[ATTRIBUTES_MAX];
    char host[256] = "";
    size_t count = 0;
    struct view pod, container;

    if (!listed)
        return -EINVAL;
    if (gethostname(host, sizeof(host) - 1) == 0)
        items[count++] = attribute_string("host.name", view_from(host));
    for (size_t i = 0; i < listed->count && count < ATTRIBUTES_MAX; i++)
        items[count++] = listed->items[i]; /* of equal keys the last wins */
    ret->attributes = attributes_new(items, count);
    if (!ret->attributes)
        return -ENOMEM;
    pod = attributes_text(listed, "k8s.pod.uid");
    container = attributes_text(listed, "k8s.container.name");
    if (pod.length)
        (void)snprintf(ret->seed, sizeof(ret->seed), "%.*s/%.*s", (int)pod.length, pod.bytes,
                       (int)container.length, container.bytes);
    else
        read_machine(host, ret->seed, sizeof(ret->seed));
    return 0;
}

void environment_deinit(struct environment *environment)
{
    environment->attributes = attributes_unref(environment->attributes);
}
