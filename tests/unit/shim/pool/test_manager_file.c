/* The manager's file: what it gives, and what each mistake in it is told, with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/pool/manager_file.h"

enum { TEXT_SIZE = 2 * 1024 * 1024 };

static char folder[] = "/tmp/weir-manager-XXXXXX";
static char path[64], secret[64];

static int folder_make(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/pools.yaml", folder);
    (void)snprintf(secret, sizeof(secret), "%s/secret", folder);
    return 0;
}

static int folder_remove(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)unlink(secret);
    return rmdir(folder);
}

static void file_write(const char *where, const char *bytes, size_t length)
{
    FILE *file = fopen(where, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* Names of the two files as FILE and SECRET, for comparing. */
static void names_hide(const char *message, char *ret, size_t size)
{
    char cut[1024];
    const char *found = strstr(message, secret);

    (void)snprintf(cut, sizeof(cut), "%.*s%s%s", (int)(found ? found - message : 1000), message,
                   found ? "SECRET" : "", found ? found + strlen(secret) : "");
    found = strstr(cut, path);
    (void)snprintf(ret, size, "%.*s%s%s", (int)(found ? found - cut : 1000), cut,
                   found ? "FILE" : "", found ? found + strlen(path) : "");
}

static void refuses_bytes(const char *bytes, size_t length, const char *message)
{
    struct manager_file *file = NULL;
    struct weir_error *error = NULL;
    char said[1024];

    file_write(path, bytes, length);
    assert_int_equal(manager_file_read(path, &file, &error), WEIR_ERROR_USAGE);
    assert_null(file);
    names_hide(weir_error_message(error), said, sizeof(said));
    weir_error_free(error);
    assert_string_equal(said, message);
    assert_int_equal(manager_file_read(path, &file, NULL), WEIR_ERROR_USAGE);
}

static struct manager_file *reads(const char *text)
{
    struct manager_file *file = NULL;
    struct weir_error *error = NULL;

    file_write(path, text, strlen(text));
    if (manager_file_read(path, &file, &error) != 0)
        fail_msg("%s", weir_error_message(error));
    assert_non_null(file);
    return file;
}

static void gives_what_it_says(void **state)
{
    CLEANUP(manager_file_freep)
    struct manager_file *file =
        reads("# two pools\n"
              "service_name: shop\n"
              "pools:\n"
              "  - name: main\n"
              "    conninfo: postgresql://u@db/shop\n"
              "    connections_max: 16\n"
              "    acquire_timeout: 2.5s\n"
              "    lifetime: never\n"
              "    shedding: true\n"
              "    reset: list\n"
              "    reset_statements: \"RESET ALL; UNLISTEN *\"\n"
              "    redact: \"email,phone\"\n"
              "    tenant_share: 50%\n"
              "  - {name: small, conninfo: 'host=db password=''a b''', parameters: hashed}\n");
    struct weir_pool_opts defaults;

    (void)state;
    weir_pool_opts_init(&defaults, sizeof(defaults));
    assert_string_equal(file->service_name, "shop");
    assert_int_equal(file->pools_count, 2);
    assert_string_equal(file->pools[0].name, "main");
    assert_string_equal(file->pools[0].conninfo, "postgresql://u@db/shop");
    assert_int_equal(file->pools[0].connections_max, 16);
    assert_int_equal(file->pools[0].acquire_timeout_ms, 2500);
    assert_int_equal(file->pools[0].lifetime_ms, WEIR_NEVER);
    assert_int_equal(file->pools[0].shedding, 1);
    assert_int_equal(file->pools[0].reset, WEIR_RESET_LIST);
    assert_string_equal(file->pools[0].reset_statements, "RESET ALL; UNLISTEN *");
    assert_string_equal(file->pools[0].redact, "email,phone");
    assert_int_equal(file->pools[0].tenant_share, 50);
    assert_string_equal(file->pools[1].conninfo, "host=db password='a b'");
    assert_int_equal(file->pools[1].parameters, WEIR_PARAMETERS_HASHED);
    assert_null(file->pools[1].redact);
    file->pools[1].name = file->pools[1].conninfo = NULL;
    file->pools[1].parameters = defaults.parameters;
    assert_memory_equal(&file->pools[1], &defaults, sizeof(defaults));
}

static void may_say_little(void **state)
{
    static const char *const texts[] = {"", "# nothing\n", "---\n", "service_name:\n",
                                        "pools: []\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        CLEANUP(manager_file_freep) struct manager_file *file = reads(texts[i]);
        assert_int_equal(file->pools_count, 0);
        assert_null(file->service_name);
    }
    CLEANUP(manager_file_freep)
    struct manager_file *file = reads("pools:\n- name: a\n  connections_max:\n");
    assert_int_equal(file->pools_count, 1);
    assert_int_equal(file->pools[0].connections_max, 10);
    assert_string_equal(file->pools[0].conninfo, ""); /* libpq's variables, or ours */
}

static char *pools_text(const char *before)
{
    static char text[512];

    (void)snprintf(text, sizeof(text), "%s", before);
    char *found = strstr(text, "SECRET");
    if (found) {
        char behind[256];
        (void)snprintf(behind, sizeof(behind), "%s", found + strlen("SECRET"));
        (void)snprintf(found, sizeof(text) - (size_t)(found - text), "%s%s", secret, behind);
    }
    return text;
}

static void takes_a_secret_from_its_file(void **state)
{
    static const char said[] = "postgresql://u:hunter2@db/shop\r\n# not this\n";

    (void)state;
    file_write(secret, said, strlen(said));
    CLEANUP(manager_file_freep)
    struct manager_file *file =
        reads(pools_text("pools:\n- name: main\n  conninfo_file: SECRET\n"));
    assert_string_equal(file->pools[0].conninfo, "postgresql://u:hunter2@db/shop");
}

static void refuses_a_bad_secret_untold(void **state)
{
    static const char text[] = "pools:\n- name: main\n  conninfo_file: SECRET\n";
    char *bad = pools_text(text);
    char *large = calloc(1, 70000);

    (void)state;
    assert_non_null(large);
    memset(large, 'x', 70000);
    file_write(secret, "host=db hunter2", 15);
    refuses_bytes(bad, strlen(bad), "FILE:3: conninfo_file: missing \"=\" after ...");
    file_write(secret, "\nhost=db\n", 9);
    refuses_bytes(bad, strlen(bad), "FILE:3: conninfo_file: SECRET: its first line is empty");
    file_write(secret, "host=db\0x", 9);
    refuses_bytes(bad, strlen(bad), "FILE:3: conninfo_file: SECRET: is no text");
    file_write(secret, large, 70000);
    refuses_bytes(bad, strlen(bad), "FILE:3: conninfo_file: SECRET: is too large");
    unlink(secret);
    refuses_bytes(bad, strlen(bad), "FILE:3: conninfo_file: SECRET: No such file or directory");
    free(large);
}

static void names_the_place_of_a_mistake(void **state)
{
    static const struct {
        const char *text, *message;
    } examples[] = {
        /* keys */
        {"service: shop\n", "FILE:1: service: unknown key"},
        {"pools:\n  - name: a\n    connection_max: 5\n", "FILE:3: connection_max: unknown key"},
        {"pools:\n  - connections_max: 5\n    name: a\n\n  - name: b\n    # one\n    "
         "conections_max: "
         "5\n",
         "FILE:7: conections_max: unknown key"},
        {"pools: []\nconnections_max: 5\n", "FILE:2: connections_max: unknown key"},
        {"pools:\n  - name: a\n    connections_max: 5\nconnections_max: 5\n",
         "FILE:4: connections_max: unknown key"},
        {"service_name: a\npools:\n  - name: service_name\n    service_name: b\n",
         "FILE:4: service_name: unknown key"},
        {"pools:\n  - name: size\n    size: 1\nsize: 2\n", "FILE:3: size: unknown key"},
        {"pools:\n  - {name: a, acquire_timeout_ms: 5}\n",
         "FILE:2: acquire_timeout_ms: unknown key"},
        {"pools:\n- name: a\n  redact: x\n  redact: y\n",
         "FILE:4: redact: this key was given before"},
        {"pools:\n- name: a\n  redact: x\n- name: b\n  redact: x\n  name: c\n",
         "FILE:6: name: this key was given before"},
        {"pools: []\npools: []\n", "FILE:2: pools: this key was given before"},
        /* values */
        {"pools:\n- name: a\n  connections_max: many\n",
         "FILE:3: connections_max: 'many' is no whole number"},
        {"pools:\n- name: a\n- name: b\n  acquire_timeout: 5\n",
         "FILE:4: acquire_timeout: '5' is no time as 250ms, 5s, 10m or 1h"},
        {"pools:\n- name: a\n  acquire_timeout: 0ms\n",
         "FILE:3: acquire_timeout: 0 is not between 1 and 86400000"},
        {"pools:\n- name: a\n  connections_max: 4\n  connections_min: 5\n",
         "FILE:4: connections_min: 5 is more than connections_max (4)"},
        {"pools:\n- name: a\n\n  reset: list\n",
         "FILE:2: reset_statements: there are none, and reset is list"},
        {"pools:\n- name: a\n  reset: most\n",
         "FILE:3: reset: 'most' is none of changed, all, list and nothing"},
        {"pools:\n- name: a\n  conninfo: host=db hunter2\n",
         "FILE:3: conninfo: missing \"=\" after ..."},
        {"pools:\n- name: a\n  conninfo_file: /none\n  conninfo: host=db\n",
         "FILE:3: conninfo_file: the pool has a conninfo too"},
        /* names */
        {"pools:\n\n- connections_max: 5\n", "FILE:3: name: a pool needs one"},
        {"pools:\n- connections_max: 5\n  name: a b\n",
         "FILE:3: name: 'a b' has something else than letters, digits, '-', '_' and '.'"},
        {"pools:\n- name: a\n- name: b\n- name: a\n",
         "FILE:4: name: 'a' is the name of the pool in line 2 too"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
        refuses_bytes(examples[i].text, strlen(examples[i].text), examples[i].message);
}

/* What is no such YAML at all: the line matters, the words are the YAML library's. */
static void names_the_line_of_bad_yaml(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } examples[] = {
        {"pools:\n  - name: a\n   conninfo: x\n", 3},
        {"pools:\n  - name: 'a\n", 3},
        {"pools: [\n", 2},
        {"pools: {name: a}\n", 1},
        {"service_name: x\npools:\n  name: a\n", 3},
        {"service_name: x\npools: main\n", 2},
        {"service_name: [x]\n", 1},
        {"- name: a\n", 1},
        {"shop\n", 1},
        {"pools:\n- a\n", 2},
        {"pools:\n- name: a\n  redact: [email]\n", 3},
        {"pools:\n- name: a\n  redact: {email: 1}\n", 3},
        {"pools:\n- name: a\n\tredact: x\n", 3},
        {"pools:\n- name: *none\n", 2},
        {"pools:\n- name: \"\\q\"\n", 2},
        {"service_name: \x01\n", 1},
        {"service_name: \xff\xfe\n", 1},
        {"%YAML 7.0\n---\npools: []\n", 1},
        {"? {a: b}\n: c\n", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct manager_file *file = NULL;
        struct weir_error *error = NULL;
        char said[1024], begin[32];
        file_write(path, examples[i].text, strlen(examples[i].text));
        if (manager_file_read(path, &file, &error) != WEIR_ERROR_USAGE)
            fail_msg("was read: %s", examples[i].text);
        names_hide(weir_error_message(error), said, sizeof(said));
        weir_error_free(error);
        (void)snprintf(begin, sizeof(begin), "FILE:%u: ", examples[i].line);
        if (strncmp(said, begin, strlen(begin)) != 0 || strlen(said) <= strlen(begin))
            fail_msg("%s: line %u is wrong in:\n%s", said, examples[i].line, examples[i].text);
    }
}

static void keeps_its_limits(void **state)
{
    char *text = malloc(TEXT_SIZE);
    size_t length = 0;

    (void)state;
    assert_non_null(text);
    length += (size_t)snprintf(text, TEXT_SIZE, "pools:\n");
    for (int i = 0; i < MANAGER_FILE_POOLS_MAX; i++)
        length += (size_t)snprintf(text + length, TEXT_SIZE - length, "- name: pool%d\n", i);
    struct manager_file *file = reads(text);
    assert_int_equal(file->pools_count, MANAGER_FILE_POOLS_MAX);
    file = manager_file_free(file);
    length += (size_t)snprintf(text + length, TEXT_SIZE - length, "- name: one_more\n");
    refuses_bytes(text, length, "FILE:66: pools: there are more than 64");

    /* a text that is too long is not told: it may be the conninfo */
    length = (size_t)snprintf(text, TEXT_SIZE, "pools:\n- name: a\n  conninfo: ");
    memset(text + length, 'x', 65537);
    refuses_bytes(text, length + 65537, "FILE:3: a text is longer than 65536 bytes");

    memset(text, '#', TEXT_SIZE);
    file_write(path, text, 1024 * 1024);
    assert_int_equal(manager_file_read(path, &file, NULL), 0);
    file = manager_file_free(file);
    refuses_bytes(text, 1024 * 1024 + 1, "FILE: is too large");
    refuses_bytes("pools: []\n\0", 11, "FILE: is no text");
    free(text);
}

static void says_that_there_is_none(void **state)
{
    struct manager_file *file = NULL;
    struct weir_error *error = NULL;

    (void)state;
    assert_int_equal(manager_file_read("/nonexistent/pools.yaml", &file, &error), WEIR_ERROR_USAGE);
    assert_string_equal(weir_error_message(error),
                        "/nonexistent/pools.yaml: No such file or directory");
    weir_error_free(error);
    error = NULL;
    assert_int_equal(manager_file_read(folder, &file, &error), WEIR_ERROR_USAGE);
    assert_non_null(strstr(weir_error_message(error), "Is a directory"));
    weir_error_free(error);
}

/* A good file with each single byte replaced, or cut there, is read or refused: it does no harm. */
static void takes_no_harm_from_any_byte(void **state)
{
    static const char good[] = "service_name: shop\n"
                               "pools:\n"
                               "  - &a {name: main, acquire_timeout: 5s}\n"
                               "  - name: \"b\"\n"
                               "    reset: all # each time\n";
    static const char bytes[] = "\n\t :-{}[]&*!|>'\"%@#,?~0\xc3";
    unsigned read_count = 0, refused_count = 0;

    (void)state;
    for (size_t at = 0; at < sizeof(good) - 1; at++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            CLEANUP(manager_file_freep) struct manager_file *file = NULL;
            struct weir_error *error = NULL;
            char text[sizeof(good)];
            memcpy(text, good, sizeof(good));
            text[at] = bytes[i]; /* the last one, NUL, cuts */
            file_write(path, text, strlen(text));
            int r = manager_file_read(path, &file, &error);
            assert_true((r == 0) == (file != NULL) && (r == 0) == (error == NULL));
            assert_true(r == 0 || r == WEIR_ERROR_USAGE);
            if (r != 0)
                assert_memory_equal(weir_error_message(error), path, strlen(path));
            r == 0 ? read_count++ : refused_count++;
            weir_error_free(error);
        }
    }
    if (read_count < 100 || refused_count < 100) /* else it only tries one of them */
        fail_msg("%u were read, %u refused", read_count, refused_count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_it_says),
        cmocka_unit_test(may_say_little),
        cmocka_unit_test(takes_a_secret_from_its_file),
        cmocka_unit_test(refuses_a_bad_secret_untold),
        cmocka_unit_test(names_the_place_of_a_mistake),
        cmocka_unit_test(names_the_line_of_bad_yaml),
        cmocka_unit_test(keeps_its_limits),
        cmocka_unit_test(says_that_there_is_none),
        cmocka_unit_test(takes_no_harm_from_any_byte),
    };

    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
