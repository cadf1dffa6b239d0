#include "shim/preload/object.h"

#include <dlfcn.h>
#include <string.h>

struct object_search {
    uintptr_t address;
    struct object *object;
    bool is_first; /* the loader names the program first */
    bool is_found;
};

static int search_one(struct dl_phdr_info *loaded, size_t size, void *argument)
{
    struct object_search *search = argument;
    struct object object = {
        .begin = UINTPTR_MAX,
        .base = loaded->dlpi_addr,
        .name = loaded->dlpi_name,
        .is_program = search->is_first,
    };

    (void)size; /* we read only what every version has */
    search->is_first = false;
    for (ElfW(Half) i = 0; i < loaded->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &loaded->dlpi_phdr[i];
        uintptr_t begin = loaded->dlpi_addr + header->p_vaddr;
        if (header->p_type == PT_DYNAMIC)
            object.dynamic = (const ElfW(Dyn) *)begin;
        if (header->p_type != PT_LOAD)
            continue;
        if (begin < object.begin)
            object.begin = begin;
        if (begin + header->p_memsz > object.end)
            object.end = begin + header->p_memsz;
    }
    if (search->address < object.begin || search->address >= object.end)
        return 0;
    *search->object = object;
    search->is_found = true;
    return 1;
}

bool object_find(const void *address, struct object *ret)
{
    struct object_search search = {.address = (uintptr_t)address, .object = ret, .is_first = true};

    (void)dl_iterate_phdr(search_one, &search); /* its result is is_found */
    return search.is_found;
}

void *object_open(const struct object *object)
{
    void *handle = dlopen(object->is_program ? NULL : object->name, RTLD_NOLOAD | RTLD_LAZY);

    if (!handle)
        (void)dlerror(); /* ours, not the program's */
    return handle;
}

/* What the loader of the object needs to know of its relocations. */
struct relocations {
    uintptr_t symbols, names;
    struct {
        uintptr_t begin;
        size_t size;
    } tables[2]; /* the procedure linkage table's, all others */
};

/* glibc adds the base to the pointers in place, other loaders leave them alone. */
static uintptr_t dynamic_address(const struct object *object, const ElfW(Dyn) * entry)
{
    return entry->d_un.d_ptr < object->base ? object->base + entry->d_un.d_ptr : entry->d_un.d_ptr;
}

static void relocations_read(const struct object *object, struct relocations *ret)
{
    *ret = (struct relocations){0};
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            ret->symbols = dynamic_address(object, entry);
        else if (entry->d_tag == DT_STRTAB)
            ret->names = dynamic_address(object, entry);
        else if (entry->d_tag == DT_JMPREL)
            ret->tables[0].begin = dynamic_address(object, entry);
        else if (entry->d_tag == DT_PLTRELSZ)
            ret->tables[0].size = entry->d_un.d_val;
        else if (entry->d_tag == DT_RELA)
            ret->tables[1].begin = dynamic_address(object, entry);
        else if (entry->d_tag == DT_RELASZ)
            ret->tables[1].size = entry->d_un.d_val;
    }
}

/* Linked with -Bsymbolic: the loader binds its references to itself first. */
static bool is_symbolic(const struct object *object)
{
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_SYMBOLIC ||
            (entry->d_tag == DT_FLAGS && entry->d_un.d_val & DF_SYMBOLIC))
            return true;
    return false;
}

bool object_refers_to(const struct object *object, const char *name)
{
    struct relocations relocations;

    if (!object->dynamic || is_symbolic(object))
        return false;
    relocations_read(object, &relocations);
    if (!relocations.symbols || !relocations.names)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        const ElfW(Rela) *rela = (const ElfW(Rela) *)relocations.tables[i].begin;
        size_t count = rela ? relocations.tables[i].size / sizeof(*rela) : 0;
        for (; count; count--, rela++) {
            const ElfW(Sym) *symbol =
                (const ElfW(Sym) *)relocations.symbols + ELF64_R_SYM(rela->r_info);
            if (!strcmp((const char *)relocations.names + symbol->st_name, name))
                return true;
        }
    }
    return false;
}
