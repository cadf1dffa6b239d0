/* The schema takes every value as text, so that one reader of values (settings.c) serves file,
 * environment and flags. libcyaml says what is wrong and where it had got to; the exact line of a
 * key is found in the text from there. */
#include "agent/config/config_file.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1024 * 1024, FIELDS_MAX = 2 * SETTINGS_MAX + 16 };

/* A key may be written with `-` for `_`, as the flags are; that text stands in the second half. */
struct values {
    char *texts[2 * SETTINGS_MAX];
};

struct config_file {
    struct values *values; /* libcyaml's */
    char *text;
};

struct schema {
    cyaml_schema_field_t top[FIELDS_MAX];
    cyaml_schema_field_t traces[FIELDS_MAX];
    cyaml_schema_field_t limits[FIELDS_MAX];
    cyaml_schema_value_t value;
    char dashed[SETTINGS_MAX][SETTING_NAME_MAX];
};

/* What libcyaml logged on its way out. */
struct complaint {
    char reason[160];
    unsigned line;
};

static cyaml_schema_field_t text_field(const char *key, size_t place)
{
    return (cyaml_schema_field_t){
        .key = key,
        .data_offset = (uint32_t)(offsetof(struct values, texts) + place * sizeof(char *)),
        .value = {.type = CYAML_STRING,
                  .flags = CYAML_FLAG_POINTER_NULL_STR | CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(char),
                  .string = {.min = 0, .max = SETTING_TEXT_MAX}},
    };
}

static void dashed_write(const char *key, char ret[SETTING_NAME_MAX])
{
    (void)snprintf(ret, SETTING_NAME_MAX, "%s", key);
    for (char *at = strchr(ret, '_'); at; at = strchr(at, '_'))
        *at = '-';
}

static void section_fill(struct schema *schema, cyaml_schema_field_t *fields, size_t *count,
                         const char *section)
{
    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(setting_table[i].section, section) != 0)
            continue;
        fields[(*count)++] = text_field(setting_table[i].key, i);
        dashed_write(setting_table[i].key, schema->dashed[i]);
        if (strcmp(schema->dashed[i], setting_table[i].key) != 0)
            fields[(*count)++] = text_field(schema->dashed[i], SETTINGS_MAX + i);
    }
}

static cyaml_schema_field_t section_field(const char *key, const cyaml_schema_field_t *fields)
{
    return (cyaml_schema_field_t){
        .key = key,
        .data_offset = 0,
        .value = {.type = CYAML_MAPPING,
                  .flags = CYAML_FLAG_OPTIONAL,
                  .data_size = sizeof(struct values),
                  .mapping = {.fields = fields}},
    };
}

static void schema_fill(struct schema *schema)
{
    size_t top = 0, traces = 0, limits = 0;

    memset(schema, 0, sizeof(*schema));
    section_fill(schema, schema->top, &top, "");
    section_fill(schema, schema->traces, &traces, "traces");
    section_fill(schema, schema->limits, &limits, "limits");
    schema->top[top++] = section_field("traces", schema->traces);
    schema->top[top] = section_field("limits", schema->limits);
    schema->value = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                           .flags = CYAML_FLAG_POINTER_NULL,
                                           .data_size = sizeof(struct values),
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

/* The first line from @line on that has @key before a colon; 0: none. */
static unsigned line_find(const char *text, const char *key, unsigned line)
{
    size_t length = strlen(key);
    unsigned number = 1;

    for (const char *at = text; *at; number++) {
        const char *end = at + strcspn(at, "\n");
        for (const char *found = at; number >= line && found + length < end; found++) {
            bool is_start = found == at || strchr(" {,\"'", found[-1]);
            const char *behind = found + length;
            if (is_start && strncmp(found, key, length) == 0) {
                behind += strspn(behind, "\"' ");
                if (*behind == ':')
                    return number;
            }
            if (*found == '#')
                break;
        }
        at = *end ? end + 1 : end;
    }
    return 0;
}

static void complaint_write(const char *path, const char *text, struct complaint *complaint,
                            char *error, size_t error_size)
{
    static const char unexpected[] = "Unexpected key: ", seen[] = "Mapping field already seen: ";
    const char *key = NULL;
    const char *what = complaint->reason[0] ? complaint->reason : "this is no mapping of settings";
    unsigned line = complaint->line;

    if (strncmp(what, unexpected, sizeof(unexpected) - 1) == 0) {
        key = what + sizeof(unexpected) - 1;
        what = "unknown key";
    } else if (strncmp(what, seen, sizeof(seen) - 1) == 0) {
        key = what + sizeof(seen) - 1;
        what = "this key was given before";
        line++; /* where libcyaml had got to: the first one */
    }
    unsigned found = key ? line_find(text, key, line) : 0;
    (void)snprintf(error, error_size, "%s:%u: %s%s%s", path, found ? found : line, what,
                   key ? ": " : "", key ? key : "");
}

static int text_read(const char *path, char **ret, char *error, size_t error_size)
{
    struct stat status;
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &status) < 0) {
        (void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return CONFIG_E_WRONG;
    }
    CLEANUP(freep) char *text = malloc(FILE_BYTES_MAX + 1);
    if (!text)
        return -ENOMEM;
    size_t length = 0;
    for (;;) {
        ssize_t count = read(fd, text + length, FILE_BYTES_MAX + 1 - length);
        if (count < 0) {
            (void)snprintf(error, error_size, "%s: %s", path, strerror(errno));
            return CONFIG_E_WRONG;
        }
        length += (size_t)count;
        if (count == 0 || length > FILE_BYTES_MAX)
            break;
    }
    if (length > FILE_BYTES_MAX || memchr(text, '\0', length)) {
        (void)snprintf(error, error_size, "%s: no text file of at most %d bytes", path,
                       FILE_BYTES_MAX);
        return CONFIG_E_WRONG;
    }
    text[length] = '\0';
    *ret = STEAL(text);
    return 0;
}

static cyaml_config_t yaml_config(struct complaint *complaint)
{
    return (cyaml_config_t){
        .log_fn = on_log, .log_ctx = complaint, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
}

int config_file_read(const char *path, struct config_file **ret, char *error, size_t error_size)
{
    struct complaint complaint = {0};
    struct schema schema;
    CLEANUP(config_file_freep) struct config_file *file = calloc(1, sizeof(*file));

    if (!file)
        return -ENOMEM;
    int r = text_read(path, &file->text, error, error_size);
    if (r != 0)
        return r;
    schema_fill(&schema);
    cyaml_config_t config = yaml_config(&complaint);
    cyaml_err_t wrong = cyaml_load_data((const uint8_t *)file->text, strlen(file->text), &config,
                                        &schema.value, (void **)&file->values, NULL);
    if (wrong == CYAML_ERR_OOM)
        return -ENOMEM;
    if (wrong != CYAML_OK) {
        complaint_write(path, file->text, &complaint, error, error_size);
        return CONFIG_E_WRONG;
    }
    for (size_t i = 0; file->values && i < setting_count; i++) {
        if (!file->values->texts[i] || !file->values->texts[SETTINGS_MAX + i])
            continue;
        (void)snprintf(error, error_size, "%s:%u: this key was given before, spelled with '-': %s",
                       path, config_file_line(file, i), setting_table[i].key);
        return CONFIG_E_WRONG;
    }
    *ret = STEAL(file);
    return 0;
}

struct config_file *config_file_free(struct config_file *file)
{
    if (!file)
        return NULL;
    if (file->values) {
        struct complaint complaint = {0};
        struct schema schema;
        schema_fill(&schema);
        cyaml_config_t config = yaml_config(&complaint);
        (void)cyaml_free(&config, &schema.value, file->values, 0); /* nothing could be done */
    }
    free(file->text);
    free(file);
    return NULL;
}

const char *config_file_value(const struct config_file *file, size_t i)
{
    if (!file || !file->values)
        return NULL;
    char *const *texts = file->values->texts;
    return texts[i] ? texts[i] : texts[SETTINGS_MAX + i];
}

unsigned config_file_line(const struct config_file *file, size_t i)
{
    char dashed[SETTING_NAME_MAX];
    unsigned from = 1;

    if (setting_table[i].section[0])
        from = line_find(file->text, setting_table[i].section, 1);
    if (file->values->texts[i])
        return line_find(file->text, setting_table[i].key, from);
    dashed_write(setting_table[i].key, dashed);
    return line_find(file->text, dashed, from);
}
