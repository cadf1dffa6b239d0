#include "agent/serve/page.h"

/* clang-format off */
__asm__(".pushsection .rodata\n"
        "page_begin:\n"
        ".incbin \"" WEIR_PAGE_FILE "\"\n"
        "page_end:\n"
        ".popsection\n");
/* clang-format on */

extern const char page_begin[], page_end[];

struct view page_html(void)
{
    return (struct view){page_begin, (size_t)(page_end - page_begin)};
}
