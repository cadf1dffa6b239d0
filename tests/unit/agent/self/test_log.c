/* The agent's own log: one line an event, whatever words are in it, and whoever speaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/model/utf8.h"
#include "agent/self/log.h"

enum { SAID_MAX = 1 << 20 };

static char said[SAID_MAX];
static int saved = -1, captured = -1;

/* From here on standard error is a file of ours. */
static void capture(void)
{
    captured = memfd_create("log", MFD_CLOEXEC);
    saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(captured >= 0 && saved >= 0);
    assert_int_equal(fcntl(captured, F_SETFL, O_APPEND), 0);
    assert_int_equal(dup2(captured, STDERR_FILENO), STDERR_FILENO);
}

static const char *release(void)
{
    ssize_t length;

    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    length = pread(captured, said, sizeof(said) - 1, 0);
    (void)close(captured);
    assert_true(length >= 0);
    said[length] = '\0';
    return said;
}

static int lines_in(const char *text)
{
    int count = 0;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* "2026-01-02T03:04:05.678Z error words\n": the words. */
static void expect_line(const char *line, const char *level, const char *message)
{
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    char rest[4096];

    for (size_t i = 0; form[i]; i++) {
        if (form[i] == 'd')
            assert_true(line[i] >= '0' && line[i] <= '9');
        else
            assert_int_equal(line[i], form[i]);
    }
    (void)snprintf(rest, sizeof(rest), "%s %s\n", level, message);
    assert_string_equal(line + strlen(form), rest);
}

static void levels_are_left_out(void **state)
{
    (void)state;
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        capture();
        log_setup((enum log_level)level, LOG_FORMAT_TEXT);
        log_line(LOG_LEVEL_ERROR, "e");
        log_line(LOG_LEVEL_WARNING, "w");
        log_line(LOG_LEVEL_INFO, "i");
        log_line(LOG_LEVEL_DEBUG, "d");
        const char *text = release();
        assert_int_equal(lines_in(text), level + 1);
        assert_int_equal(strstr(text, " warning w\n") != NULL, level >= LOG_LEVEL_WARNING);
        assert_int_equal(strstr(text, " debug d\n") != NULL, level >= LOG_LEVEL_DEBUG);
    }
}

static void a_line_has_time_level_and_words(void **state)
{
    (void)state;
    capture();
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_line(LOG_LEVEL_WARNING, "%d of %s", 3, "four");
    expect_line(release(), "warning", "3 of four");
}

/* A client's words never begin a line, move the cursor or end the JSON. */
static void foreign_words_stay_in_their_line(void **state)
{
    (void)state;
    capture();
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    log_line(LOG_LEVEL_INFO, "a\nb\rc\td\x1b[31me\x7f"
                             "f\x01");
    expect_line(release(), "info", "a b c d [31me f ");
    capture();
    log_line(LOG_LEVEL_INFO, "\xff caf\xc3\xa9 \xc3");
    expect_line(release(), "info", "? caf\xc3\xa9 ?");
}

static json_t *parse_line(const char *text)
{
    json_error_t error;
    json_t *object = json_loads(text, 0, &error);

    assert_int_equal(lines_in(text), 1);
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_non_null(object);
    assert_int_equal(json_object_size(object), 3);
    return object;
}

static const char *member(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void json_is_json(void **state)
{
    static const struct {
        const char *words, *expected;
    } examples[] = {
        {"plain", "plain"},
        {"a \"quoted\" \\ and {\"level\":\"x\"}", "a \"quoted\" \\ and {\"level\":\"x\"}"},
        {"two\nlines\x1b", "two lines "},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"bad \xff\xfe bytes \xed\xa0\x80", "bad ?? bytes ???"},
        {"", ""},
    };
    (void)state;

    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        capture();
        log_line(LOG_LEVEL_ERROR, "%s", examples[i].words);
        json_t *object = parse_line(release());
        assert_string_equal(member(object, "level"), "error");
        assert_string_equal(member(object, "message"), examples[i].expected);
        assert_int_equal(strlen(member(object, "time")), 24);
        json_decref(object);
    }
}

/* Cut, also inside a letter, but a whole line in either format. */
static void long_lines_are_cut(void **state)
{
    char words[5000];
    (void)state;

    for (int shift = 0; shift < 4; shift++) {
        memset(words, 'x', sizeof(words));
        for (size_t i = (size_t)shift; i + 2 < sizeof(words); i += 2)
            memcpy(words + i, "\xc3\xa9", 2);
        words[sizeof(words) - 1] = '\0';
        log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
        capture();
        log_line(LOG_LEVEL_INFO, "%s", words);
        json_t *object = parse_line(release());
        assert_true(strlen(member(object, "message")) > 1000);
        json_decref(object);
        log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
        capture();
        log_line(LOG_LEVEL_INFO, "%s", words);
        const char *text = release();
        assert_int_equal(lines_in(text), 1);
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_true(utf8_is_valid(view_from(text)));
    }
}

enum { SPEAKERS = 4, LINES = 300 };

static void *speak(void *userdata)
{
    int speaker = *(int *)userdata;
    char words[200];

    memset(words, 'a' + speaker, sizeof(words) - 1);
    words[sizeof(words) - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        log_line(LOG_LEVEL_INFO, "%s", words);
    return NULL;
}

static void lines_never_mix(void **state)
{
    pthread_t threads[SPEAKERS];
    int speakers[SPEAKERS], counts[SPEAKERS] = {0};
    (void)state;

    capture();
    log_setup(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    for (int i = 0; i < SPEAKERS; i++) {
        speakers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, speak, &speakers[i]), 0);
    }
    for (int i = 0; i < SPEAKERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    const char *text = release();
    assert_int_equal(lines_in(text), SPEAKERS * LINES);
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n'), *words = end - 199;
        int speaker = words[0] - 'a';
        assert_true(speaker >= 0 && speaker < SPEAKERS);
        for (const char *at = words; at < end; at++)
            assert_int_equal(*at, words[0]);
        assert_int_equal(words[-1], ' ');
        counts[speaker]++;
        line = end + 1;
    }
    for (int i = 0; i < SPEAKERS; i++)
        assert_int_equal(counts[i], LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_left_out),
        cmocka_unit_test(a_line_has_time_level_and_words),
        cmocka_unit_test(foreign_words_stay_in_their_line),
        cmocka_unit_test(json_is_json),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(lines_never_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
