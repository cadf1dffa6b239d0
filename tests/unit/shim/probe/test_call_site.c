#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/probe/call_site.h"
#include "shim/probe/names.h"

static struct segment segment;

/* The last name in the ring. */
static const char *newest_name(void)
{
    const char *data = lane_data(segment.names);
    uint64_t head = atomic_load(&segment.names->head), at = 0;
    const struct record_name *name = NULL;
    static char text[200];

    while (at < head) {
        name = (const struct record_name *)(const void *)(data + at);
        at += name->header.length;
    }
    assert_non_null(name);
    assert_int_equal(name->name_kind, NAME_CALL_SITE);
    assert_true(name->text_length < sizeof(text));
    memcpy(text, name + 1, name->text_length);
    text[name->text_length] = '\0';
    return text;
}

static uint64_t recorded(void)
{
    return atomic_load(&segment.names->recorded);
}

static void test_names_this_program(void **state)
{
    const void *here = (const void *)(uintptr_t)test_names_this_program;
    char build_id[40] = {0};
    uint64_t id = call_site_of(&segment, here), offset;
    Dl_info object;

    (void)state;
    assert_int_not_equal(id, 0);
    assert_int_equal(dladdr(here, &object) != 0, 1);
    assert_int_equal(sscanf(newest_name(), "%16[0-9a-f]+0x%lx", build_id, &offset), 2);
    assert_int_equal(strlen(build_id), 16);
    assert_int_equal(offset, (uintptr_t)here - (uintptr_t)object.dli_fbase);
    assert_int_equal(recorded(), 1);
    assert_int_equal(call_site_of(&segment, here), id); /* from the cache, told once */
    assert_int_equal(recorded(), 1);
}

static void test_other_objects_have_other_names(void **state)
{
    const void *in_libc = (const void *)(uintptr_t)getenv;
    uint64_t id = call_site_of(&segment, in_libc);

    (void)state;
    assert_int_not_equal(id, 0);
    assert_int_not_equal(id, call_site_of(&segment, (const char *)in_libc + 1));
    assert_non_null(strstr(newest_name(), "+0x"));
}

static void test_raised_epoch_tells_again(void **state)
{
    const void *here = (const void *)(uintptr_t)test_raised_epoch_tells_again;
    uint64_t id = call_site_of(&segment, here), before = recorded();

    (void)state;
    atomic_fetch_add(&segment.header->epoch, 1);
    assert_int_equal(call_site_of(&segment, here), id);
    assert_int_equal(recorded(), before + 1);
}

static void test_generated_code_has_no_name(void **state)
{
    void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(code != MAP_FAILED);
    assert_int_equal(call_site_of(&segment, code), 0);
    assert_int_equal(call_site_of(&segment, NULL), 0);
    assert_int_equal(munmap(code, 4096), 0);
}

/* The same place in another run of this program, loaded at another address, has the same name. */
static void test_equal_across_restarts(void **state)
{
    char program[4096], command[4200], line[200] = {0};
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    FILE *run;

    (void)state;
    assert_true(length > 0);
    program[length] = '\0';
    (void)call_site_of(&segment, (const void *)(uintptr_t)test_equal_across_restarts);
    (void)snprintf(command, sizeof(command), "'%s' --print-site", program);
    run = popen(command, "r");
    assert_non_null(run);
    assert_non_null(fgets(line, sizeof(line), run));
    assert_int_equal(pclose(run), 0);
    assert_string_equal(line, newest_name());
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_this_program),
        cmocka_unit_test(test_other_objects_have_other_names),
        cmocka_unit_test(test_raised_epoch_tells_again),
        cmocka_unit_test(test_generated_code_has_no_name),
        cmocka_unit_test(test_equal_across_restarts),
    };
    int fd = -1;

    if (segment_create(SEGMENT_SIZE_MIN, 1, &segment, &fd) < 0)
        return 1;
    if (argc > 1 && !strcmp(argv[1], "--print-site")) {
        (void)call_site_of(&segment, (const void *)(uintptr_t)test_equal_across_restarts);
        return fputs(newest_name(), stdout) < 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
