#include "secrets.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "journal.h"
#include "owned.h"

int secrets_before_connect(void *userdata, const struct weir_hook *hook,
                           struct weir_connect_params *params)
{
    const char *directory = userdata;
    OWNED(owned_file) FILE *file = NULL;
    char path[PATH_MAX];
    int length =
        snprintf(path, sizeof(path), "%s/%s.password", directory, weir_pool_name(hook->pool));

    if (length < 0 || (size_t)length >= sizeof(path)) {
        journal_note("secret", "the path of a password in %.200s is too long", directory);
        return -ENAMETOOLONG;
    }
    file = fopen(path, "re");
    if (!file) {
        int reason = errno;
        journal_note("secret", "%s: %s", path, strerror(reason));
        return -reason;
    }
    if (!fgets(params->password, sizeof(params->password), file)) {
        journal_note("secret", "%s is empty or cannot be read", path);
        return -ENODATA;
    }
    params->password[strcspn(params->password, "\r\n")] = 0;
    return 0;
}
