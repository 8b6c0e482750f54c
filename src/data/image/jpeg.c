/* jpeg.c: JPEG by libjpeg (Debian's is libjpeg-turbo), exact integer transform and smooth chroma, as Pillow's.
 *
 * The library goes on over damage with a warning and gray; data of that kind is refused here.  Warnings that leave the
 * picture whole (bytes between markers, odd versions of JFIF) are not: photographs in use have them.
 */
#include "data/image/image.h"

#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <string.h>

/* A progressive file may ask for any number of passes over a large picture. */
enum { MOST_SCANS = 500 };

typedef struct decoder {
    struct jpeg_error_mgr errors; /* first: libjpeg knows this part */
    struct jpeg_decompress_struct jpeg;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    const char *name;
    wk_image *image;
} decoder;

/* What libjpeg says of the failure, unless Wick's own is pending. */
static void give_up(j_common_ptr jpeg) {
    decoder *d = jpeg->client_data;
    char message[JMSG_LENGTH_MAX];
    d->errors.format_message(jpeg, message);
    if (!wk_failed()) (void)wk_fail(WK_FORMAT, "%s: this JPEG cannot be read: %s", d->name, message);
    longjmp(d->failed, 1);
}

static void hear(j_common_ptr jpeg, int level) {
    static const int harmless[] = { JWRN_EXTRANEOUS_DATA, JWRN_JFIF_MAJOR, JWRN_ADOBE_XFORM };
    if (level >= 0) return; /* a trace */
    for (size_t i = 0; i < WK_COUNT(harmless); i++)
        if (jpeg->err->msg_code == harmless[i]) return;
    give_up(jpeg);
}

static void count_scans(j_common_ptr jpeg) {
    decoder *d = jpeg->client_data;
    if (d->jpeg.input_scan_number <= MOST_SCANS) return;
    (void)wk_fail(WK_FORMAT, "%s: this JPEG has more than %d scans", d->name, MOST_SCANS);
    longjmp(d->failed, 1);
}

static void check(decoder *d, wk_status status) {
    if (status != WK_OK) longjmp(d->failed, 1);
}

static unsigned char product(unsigned a, unsigned b) { /* a b / 255, rounded as Pillow rounds */
    const unsigned whole = a * b + 128;
    return (unsigned char)(((whole >> 8) + whole) >> 8);
}

/* Inks to light; Adobe's files hold them inverted, which is how libjpeg gives them. */
static void inks_to_rgb(unsigned char *rgb, const unsigned char *inks, int64_t width, bool inverted) {
    for (int64_t x = 0; x < width; x++, rgb += 3, inks += 4) {
        const unsigned char black = inverted ? inks[3] : (unsigned char)(255 - inks[3]);
        for (int c = 0; c < 3; c++) {
            const unsigned char ink = inverted ? (unsigned char)(255 - inks[c]) : inks[c];
            rgb[c] = (unsigned char)(black - product(ink, black));
        }
    }
}

static void read_rows(decoder *d) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    const size_t row = (size_t)jpeg->output_width * (size_t)d->image->channels;
    const bool inks = jpeg->out_color_space == JCS_CMYK;
    JSAMPARRAY line = inks ? jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, jpeg->output_width * 4, 1) : NULL;
    while (jpeg->output_scanline < jpeg->output_height) {
        unsigned char *at = d->image->pixels + jpeg->output_scanline * row;
        JSAMPROW rows[8];
        unsigned count = jpeg->output_height - jpeg->output_scanline;
        if (count > WK_COUNT(rows)) count = WK_COUNT(rows);
        for (unsigned i = 0; i < count; i++) rows[i] = at + i * row;
        if (!inks) {
            (void)jpeg_read_scanlines(jpeg, rows, count);
        } else {
            (void)jpeg_read_scanlines(jpeg, line, 1);
            inks_to_rgb(at, line[0], jpeg->output_width, jpeg->saw_Adobe_marker);
        }
    }
}

static void read_picture(decoder *d, const void *bytes, size_t size) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    jpeg_mem_src(jpeg, bytes, size);
    (void)jpeg_read_header(jpeg, TRUE);
    check(d, wk__image_check(d->name, jpeg->image_height, jpeg->image_width));
    const bool inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    const bool gray = jpeg->jpeg_color_space == JCS_GRAYSCALE;
    jpeg->out_color_space = inks ? JCS_CMYK : gray ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    (void)jpeg_start_decompress(jpeg);
    check(d, wk_image_turn(d->image, jpeg->output_height, jpeg->output_width, gray ? 1 : 3));
    read_rows(d);
    (void)jpeg_finish_decompress(jpeg);
}

wk_status wk__jpeg_decode(wk_image *image, const void *bytes, size_t size, const char *name) {
    decoder d = { .name = name, .image = image };
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = give_up;
    d.errors.emit_message = hear;
    d.jpeg.client_data = &d;
    d.progress.progress_monitor = count_scans;
    if (!setjmp(d.failed)) {
        jpeg_create_decompress(&d.jpeg);
        d.jpeg.progress = &d.progress;
        read_picture(&d, bytes, size);
    }
    jpeg_destroy_decompress(&d.jpeg);
    return wk_failed() ? wk_error_code() : WK_OK;
}
