/* The schema takes every value as text, so that one reader of values (options_text.c) serves file
 * and environment. libcyaml says what is wrong and where it had got to; manager_lines.c knows the
 * exact line. */
#include "shim/pool/manager_file.h"

#include <assert.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shim/pool/manager_lines.h"
#include "shim/session/failure.h"
#include "shim/session/options_table.h"

enum {
    FILE_BYTES_MAX = 1024 * 1024,
    TEXT_BYTES_MAX = 64 * 1024, /* each: with aliases a file may hold more than its size */
    KEY_SIZE = 32,
    REASON_SIZE = 160
};

enum plain_key {
    KEY_NAME,
    KEY_CONNINFO,
    KEY_CONNINFO_FILE,
    KEY_STATEMENTS,
    KEY_REDACT,
    KEYS_PLAIN
};

static const char *const plain_keys[KEYS_PLAIN] = {"name", "conninfo", "conninfo_file",
                                                   "reset_statements", "redact"};

struct pool_values {
    char *texts[KEYS_PLAIN + OPTION_COUNT];
};

/* libcyaml's. */
struct file_values {
    char *service_name;
    struct pool_values *pools;
    uint32_t pools_count;
};

struct manager_texts {
    struct file_values *values;
    char *conninfos[MANAGER_FILE_POOLS_MAX]; /* from conninfo_file */
};

struct schema {
    char keys[OPTION_COUNT][KEY_SIZE];
    cyaml_schema_field_t options[KEYS_PLAIN + OPTION_COUNT + 1];
    cyaml_schema_value_t pool;
    cyaml_schema_field_t top[3];
    cyaml_schema_value_t value;
};

/* What libcyaml logged on its way out. */
struct complaint {
    char reason[REASON_SIZE];
    unsigned line;
};

/* What libcyaml would say with the value in it, which may be a secret, or in words of its own. */
static const char *reason_for_people(const char *reason)
{
    if (strncmp(reason, "STRING length", strlen("STRING length")) == 0)
        return "a text is longer than 65536 bytes";
    if (strncmp(reason, "Excessive entries", strlen("Excessive entries")) == 0)
        return "pools: there are more than 64";
    return reason[0] ? reason : "this is no mapping with pools";
}
static_assert(TEXT_BYTES_MAX == 65536 && MANAGER_FILE_POOLS_MAX == 64, "as the reasons say");

/* One file while it is read. */
struct reading {
    const char *path;
    struct manager_lines *lines;
    struct weir_error **ret_error;
};

static cyaml_schema_field_t text_field(const char *key, size_t offset)
{
    return (cyaml_schema_field_t){
        .key = key,
        .data_offset = (uint32_t)offset,
        .value = {.type = CYAML_STRING,
                  .flags = CYAML_FLAG_POINTER_NULL_STR | CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(char),
                  .string = {.min = 0, .max = TEXT_BYTES_MAX}},
    };
}

static void options_fill(struct schema *schema)
{
    size_t offset = offsetof(struct pool_values, texts);

    for (size_t i = 0; i < KEYS_PLAIN; i++)
        schema->options[i] = text_field(plain_keys[i], offset + i * sizeof(char *));
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        struct view name = option_table[i].name;
        (void)snprintf(schema->keys[i], KEY_SIZE, "%.*s", (int)name.length, name.bytes);
        schema->options[KEYS_PLAIN + i] =
            text_field(schema->keys[i], offset + (KEYS_PLAIN + i) * sizeof(char *));
    }
}

static void schema_fill(struct schema *schema)
{
    memset(schema, 0, sizeof(*schema));
    options_fill(schema);
    schema->pool = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                          .data_size = sizeof(struct pool_values),
                                          .mapping = {.fields = schema->options}};
    schema->top[0] = text_field("service_name", offsetof(struct file_values, service_name));
    schema->top[1] = (cyaml_schema_field_t){
        .key = "pools",
        .data_offset = offsetof(struct file_values, pools),
        .count_offset = offsetof(struct file_values, pools_count),
        .count_size = sizeof(uint32_t),
        .value = {.type = CYAML_SEQUENCE,
                  .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(struct pool_values),
                  .sequence = {.entry = &schema->pool, .min = 0, .max = MANAGER_FILE_POOLS_MAX}}};
    schema->value = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                           .flags = CYAML_FLAG_POINTER_NULL,
                                           .data_size = sizeof(struct file_values),
                                           .mapping = {.fields = schema->top}};
}

__attribute__((format(printf, 3, 0))) static void on_log(cyaml_log_t level, void *userdata,
                                                         const char *format, va_list arguments)
{
    struct complaint *complaint = userdata;
    char text[256];
    const char *line;

    (void)level;
    (void)vsnprintf(text, sizeof(text), format, arguments);
    line = strstr(text, "(line: ");
    if (line && complaint->line == 0)
        complaint->line = (unsigned)strtoul(line + strlen("(line: "), NULL, 10);
    if (complaint->reason[0] == '\0' && strncmp(text, "Load: ", 6) == 0)
        (void)snprintf(complaint->reason, sizeof(complaint->reason), "%.*s",
                       (int)strcspn(text + 6, "\n"), text + 6);
}

static cyaml_config_t yaml_config(struct complaint *complaint)
{
    return (cyaml_config_t){
        .log_fn = on_log, .log_ctx = complaint, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
}

static bool key_is_of_pool(const char *key)
{
    for (size_t i = 0; i < KEYS_PLAIN; i++) {
        if (strcmp(plain_keys[i], key) == 0)
            return true;
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (view_equal(option_table[i].name, view_from(key)))
            return true;
    }
    return false;
}

/* The line of a key that does not belong where it stands: the first such one. */
static unsigned unexpected_line(const struct reading *reading, const char *key, unsigned otherwise)
{
    bool is_of_top = strcmp(key, "service_name") == 0 || strcmp(key, "pools") == 0;
    unsigned top = is_of_top ? 0 : manager_lines_top(reading->lines, key);
    unsigned any = key_is_of_pool(key) ? 0 : manager_lines_any(reading->lines, key);

    if (any == 0 || (top != 0 && top < any))
        any = top;
    return any != 0 ? any : otherwise; /* libcyaml's words about a very long key are cut */
}

static int complaint_fail(const struct reading *reading, const struct complaint *complaint)
{
    static const char unexpected[] = "Unexpected key: ", seen[] = "Mapping field already seen: ";
    const char *reason = complaint->reason;
    const char *key;

    if (strncmp(reason, unexpected, sizeof(unexpected) - 1) == 0) {
        key = reason + sizeof(unexpected) - 1;
        return failure(reading->ret_error, WEIR_ERROR_USAGE, "%s:%u: %s: unknown key",
                       reading->path, unexpected_line(reading, key, complaint->line), key);
    }
    if (strncmp(reason, seen, sizeof(seen) - 1) == 0) {
        key = reason + sizeof(seen) - 1;
        return failure(reading->ret_error, WEIR_ERROR_USAGE, "%s:%u: %s: this key was given before",
                       reading->path, manager_lines_repeated(reading->lines, key), key);
    }
    return failure(reading->ret_error, WEIR_ERROR_USAGE, "%s:%u: %s", reading->path,
                   complaint->line ? complaint->line : 1, reason_for_people(reason));
}

/* Reads up to @bytes_max bytes. 0, -ENOMEM, -EFBIG if there are more, -EINVAL if one of them is
 * NUL, or a negative errno of the system. */
static int text_read(const char *path, size_t bytes_max, char **ret)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;

    if (fd < 0)
        return -errno;
    CLEANUP(freep) char *text = malloc(bytes_max + 1);
    if (!text)
        return -ENOMEM;
    for (;;) {
        ssize_t count = read(fd, text + length, bytes_max + 1 - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        length += (size_t)count;
        if (length > bytes_max)
            return -EFBIG;
        if (count == 0)
            break;
    }
    if (memchr(text, '\0', length))
        return -EINVAL;
    text[length] = '\0';
    *ret = STEAL(text);
    return 0;
}

/* Why text_read() did not. */
static const char *read_reason(int r)
{
    return r == -EFBIG ? "is too large" : r == -EINVAL ? "is no text" : strerror(-r);
}

static unsigned option_line(const struct reading *reading, size_t pool, const char *key)
{
    return manager_lines_option(reading->lines, pool, key);
}

/* The conninfo that the first line of a file says: for secrets that a platform mounts. */
static int conninfo_read(const struct reading *reading, size_t pool, const char *path, char **ret)
{
    int r = text_read(path, TEXT_BYTES_MAX, ret);

    if (r == -ENOMEM)
        return failure_memory(reading->ret_error);
    if (r != 0)
        return failure(reading->ret_error, WEIR_ERROR_USAGE, "%s:%u: conninfo_file: %.200s: %s",
                       reading->path, option_line(reading, pool, "conninfo_file"), path,
                       read_reason(r));
    (*ret)[strcspn(*ret, "\r\n")] = '\0';
    if ((*ret)[0] == '\0')
        return failure(reading->ret_error, WEIR_ERROR_USAGE,
                       "%s:%u: conninfo_file: %.200s: its first line is empty", reading->path,
                       option_line(reading, pool, "conninfo_file"), path);
    return 0;
}

static int texts_take(const struct reading *reading, struct manager_file *file, size_t pool)
{
    struct weir_pool_opts *opts = &file->pools[pool];
    char *const *texts = file->texts->values->pools[pool].texts;

    opts->name = texts[KEY_NAME];
    opts->conninfo = texts[KEY_CONNINFO];
    opts->reset_statements = texts[KEY_STATEMENTS];
    opts->redact = texts[KEY_REDACT];
    if (!texts[KEY_CONNINFO_FILE])
        return 0;
    if (texts[KEY_CONNINFO])
        return failure(reading->ret_error, WEIR_ERROR_USAGE,
                       "%s:%u: conninfo_file: the pool has a conninfo too", reading->path,
                       option_line(reading, pool, "conninfo_file"));
    int r = conninfo_read(reading, pool, texts[KEY_CONNINFO_FILE], &file->texts->conninfos[pool]);
    opts->conninfo = file->texts->conninfos[pool];
    return r;
}

static int numbers_take(const struct reading *reading, struct manager_file *file, size_t pool)
{
    char *const *texts = file->texts->values->pools[pool].texts + KEYS_PLAIN;
    const char *reason;
    char key[KEY_SIZE];

    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_entry *entry = &option_table[i];
        if (!texts[i] || option_value_parse(entry, view_from(texts[i]),
                                            option_field(entry, &file->pools[pool]), &reason))
            continue;
        (void)snprintf(key, sizeof(key), "%.*s", (int)entry->name.length, entry->name.bytes);
        return failure(reading->ret_error, WEIR_ERROR_USAGE, "%s:%u: %s: '%.40s' %s", reading->path,
                       option_line(reading, pool, key), key, texts[i], reason);
    }
    return 0;
}

/* Says a complaint of options_check() about the field that it begins with where that field stands,
 * under its name in the file. */
static int check_fail(const struct reading *reading, size_t pool, const struct weir_error *error)
{
    const char *message = weir_error_message(error);
    size_t length = strcspn(message, ":");
    struct view field = {message, length};
    char key[KEY_SIZE];

    if (weir_error_category(error) != WEIR_ERROR_USAGE)
        return failure(reading->ret_error, weir_error_category(error), "%s", message);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (view_equal(field, view_from(option_table[i].field)))
            field = option_table[i].name;
    }
    (void)snprintf(key, sizeof(key), "%.*s", (int)field.length, field.bytes);
    if (strcmp(key, "conninfo") == 0 &&
        option_line(reading, pool, key) == option_line(reading, pool, ""))
        (void)snprintf(key, sizeof(key), "conninfo_file");
    return failure(reading->ret_error, WEIR_ERROR_USAGE, "%s:%u: %s%s", reading->path,
                   option_line(reading, pool, key), key, message + length);
}

static int pool_take(const struct reading *reading, struct manager_file *file, size_t pool)
{
    struct weir_pool_opts *opts = &file->pools[pool];
    struct weir_error *error = NULL;

    weir_pool_opts_init(opts, sizeof(*opts));
    int r = texts_take(reading, file, pool);
    if (r == 0)
        r = numbers_take(reading, file, pool);
    if (r != 0)
        return r;
    if (options_check(opts, opts, &error) != 0) {
        r = check_fail(reading, pool, error);
        weir_error_free(error);
        return r;
    }
    for (size_t i = 0; i < pool; i++) {
        if (strcmp(file->pools[i].name, opts->name) == 0)
            return failure(reading->ret_error, WEIR_ERROR_USAGE,
                           "%s:%u: name: '%s' is the name of the pool in line %u too",
                           reading->path, option_line(reading, pool, "name"), opts->name,
                           option_line(reading, i, "name"));
    }
    file->pools_count++;
    return 0;
}

static int pools_take(const struct reading *reading, struct manager_file *file)
{
    const struct file_values *values = file->texts->values;
    int r = 0;

    if (!values) /* an empty file */
        return 0;
    file->service_name = values->service_name;
    for (size_t i = 0; r == 0 && i < values->pools_count; i++)
        r = pool_take(reading, file, i);
    return r;
}

static int values_load(const struct reading *reading, const char *text, struct file_values **ret)
{
    struct complaint complaint = {0};
    struct schema schema;

    schema_fill(&schema);
    cyaml_config_t config = yaml_config(&complaint);
    cyaml_err_t wrong = cyaml_load_data((const uint8_t *)text, strlen(text), &config, &schema.value,
                                        (void **)ret, NULL);
    if (wrong == CYAML_ERR_OOM)
        return failure_memory(reading->ret_error);
    return wrong == CYAML_OK ? 0 : complaint_fail(reading, &complaint);
}

int manager_file_read(const char *path, struct manager_file **ret, struct weir_error **ret_error)
{
    CLEANUP(manager_file_freep) struct manager_file *file = calloc(1, sizeof(*file));
    CLEANUP(manager_lines_freep) struct manager_lines *lines = NULL;
    CLEANUP(freep) char *text = NULL;
    const char *reason;
    unsigned line;

    if (!file || !(file->texts = calloc(1, sizeof(*file->texts))))
        return failure_memory(ret_error);
    int r = text_read(path, FILE_BYTES_MAX, &text);
    if (!text)
        return r == -ENOMEM ? failure_memory(ret_error)
                            : failure(ret_error, WEIR_ERROR_USAGE, "%s: %s", path, read_reason(r));
    r = manager_lines_read(text, &lines, &reason, &line);
    if (r == -ENOMEM)
        return failure_memory(ret_error);
    if (r == MANAGER_LINES_E_SYNTAX)
        return failure(ret_error, WEIR_ERROR_USAGE, "%s:%u: %s", path, line, reason);
    struct reading reading = {.path = path, .lines = lines, .ret_error = ret_error};
    r = values_load(&reading, text, &file->texts->values);
    if (r == 0)
        r = pools_take(&reading, file);
    if (r == 0)
        *ret = STEAL(file);
    return r;
}

static void texts_free(struct manager_texts *texts)
{
    if (texts->values) {
        struct complaint complaint = {0};
        struct schema schema;
        schema_fill(&schema);
        cyaml_config_t config = yaml_config(&complaint);
        (void)cyaml_free(&config, &schema.value, texts->values, 0); /* nothing could be done */
    }
    for (size_t i = 0; i < MANAGER_FILE_POOLS_MAX; i++)
        free(texts->conninfos[i]);
    free(texts);
}

struct manager_file *manager_file_free(struct manager_file *file)
{
    if (file && file->texts)
        texts_free(file->texts);
    free(file);
    return NULL;
}
