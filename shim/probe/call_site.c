#include "shim/probe/call_site.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "shim/probe/names.h"
#include "shim/probe/normalize.h"

enum {
    BUILD_ID_BYTES = 8, /* of the id's 20, as many as the text shows */
    SITE_TEXT_MAX = 128,
};

struct call_site call_sites[CALL_SITES];

/* A search of the loaded objects for the one that contains @address. */
struct site_search {
    uintptr_t address;
    bool is_found;
    char text[SITE_TEXT_MAX];
    size_t length;
};

static bool object_contains(const struct dl_phdr_info *object, uintptr_t address)
{
    for (ElfW(Half) i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_LOAD && address >= begin && address - begin < header->p_memsz)
            return true;
    }
    return false;
}

/* The build-id in the note segment [notes, notes + size), or NULL. */
static const uint8_t *notes_build_id(const char *notes, size_t size)
{
    ElfW(Nhdr) note;
    size_t offset = 0, name_size, id_size;

    while (size - offset >= sizeof(note)) {
        memcpy(&note, notes + offset, sizeof(note));
        name_size = align_up(note.n_namesz, 4);
        id_size = align_up(note.n_descsz, 4);
        if (name_size > size - offset - sizeof(note) ||
            id_size > size - offset - sizeof(note) - name_size)
            return NULL;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            note.n_descsz >= BUILD_ID_BYTES && !memcmp(notes + offset + sizeof(note), "GNU", 4))
            return (const uint8_t *)notes + offset + sizeof(note) + name_size;
        offset += sizeof(note) + name_size + id_size;
    }
    return NULL;
}

static const uint8_t *object_build_id(const struct dl_phdr_info *object)
{
    for (ElfW(Half) i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        const uint8_t *id;
        if (header->p_type != PT_NOTE)
            continue;
        id = notes_build_id((const char *)(object->dlpi_addr + header->p_vaddr), header->p_memsz);
        if (id)
            return id;
    }
    return NULL;
}

static void site_append(struct site_search *search, const char *text, size_t length)
{
    if (length > sizeof(search->text) - search->length)
        length = sizeof(search->text) - search->length;
    memcpy(search->text + search->length, text, length);
    search->length += length;
}

static void site_append_hex(struct site_search *search, uint64_t value, unsigned digits_min)
{
    char text[16];
    unsigned at = sizeof(text);

    do {
        text[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value || sizeof(text) - at < digits_min);
    site_append(search, text + at, sizeof(text) - at);
}

static int site_search_object(struct dl_phdr_info *object, size_t size, void *argument)
{
    struct site_search *search = argument;
    const uint8_t *build_id;
    const char *base;

    (void)size; /* we read only what every version has */
    if (!object_contains(object, search->address))
        return 0;
    build_id = object_build_id(object);
    if (build_id) {
        for (unsigned i = 0; i < BUILD_ID_BYTES; i++)
            site_append_hex(search, build_id[i], 2);
    } else {
        base = strrchr(object->dlpi_name, '/');
        base = base ? base + 1 : object->dlpi_name;
        site_append(search, base, strnlen(base, SITE_TEXT_MAX / 2));
    }
    site_append(search, "+0x", 3);
    site_append_hex(search, search->address - object->dlpi_addr, 1);
    search->is_found = true;
    return 1;
}

size_t call_site_text(uintptr_t address, char *text, size_t capacity)
{
    struct site_search search = {.address = address};
    size_t length;

    (void)dl_iterate_phdr(site_search_object, &search); /* its result is is_found */
    length = search.is_found ? search.length : 0;
    if (length >= capacity)
        length = capacity - 1;
    memcpy(text, search.text, length);
    text[length] = 0;
    return length;
}

static uint64_t site_find(const struct segment *segment, uintptr_t address)
{
    char found[SITE_TEXT_MAX + 1];
    struct view text = {found, call_site_text(address, found, sizeof(found))};
    uint64_t id;

    if (!text.length)
        return 0;
    id = name_id(text);
    (void)names_announce(segment, NAME_CALL_SITE, id, text,
                         0); /* the caller looks whether it was */
    return id;
}

uint64_t call_site_learn(const struct segment *segment, uint64_t address)
{
    uint64_t epoch = segment_epoch(segment), id;
    struct call_site *site = call_site_entry(address);

    if (!address)
        return 0;
    id = site_find(segment, address);
    if (id && !names_is_announced(segment, id))
        return id; /* the ring is full: try again next time */
    atomic_store_explicit(&site->id, id, memory_order_relaxed);
    atomic_store_explicit(&site->epoch, epoch, memory_order_relaxed);
    atomic_store_explicit(&site->check, address ^ id ^ epoch, memory_order_relaxed);
    return id;
}
