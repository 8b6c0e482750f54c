/* event_media.c: images, sound and meshes in event files.
 *
 * Value: 1 tag, 4 image { 1 height, 2 width, 3 colorspace, 4 PNG }, 6 audio { 1 sample_rate (float), 2 num_channels, 3
 * length_frames, 4 encoded_audio_string, 5 content_type }; the mesh plug-in's content { 2 name, 3 content_type, 5
 * json_config, 6 packed shape, 7 components }.  Formats: tensorflow/core/framework/summary.proto,
 * tensorboard/plugins/mesh/plugin_data.proto.
 */
#include "io/event_file.h"

#include "io/png.h"
#include "io/proto.h"

#include <string.h>

/* ---- image ---- */

wk_status wk__event_image(wk_text *out, double wall_time, int64_t step, const char *tag, const unsigned char *pixels,
                          int height, int width, int channels) {
    wk_text value = { 0 }, image = { 0 }, png = { 0 };
    WK_TRY(wk__png_encode(&png, pixels, height, width, channels));
    wk__proto_text(&value, 1, tag);
    wk__proto_number(&image, 1, (uint64_t)height);
    wk__proto_number(&image, 2, (uint64_t)width);
    wk__proto_number(&image, 3, (uint64_t)channels);
    wk__proto_message(&image, 4, &png);
    wk__proto_message(&value, 4, &image);
    wk__event_metadata(&value, "images", NULL);
    wk__event_summary(out, wall_time, step, &value);
    return WK_OK;
}

/* ---- audio ---- */

enum { SAMPLE = 2 }; /* bytes */

/* RIFF's header, of linear samples (PCM). */
static void wav_header(wk_text *wav, int64_t frames, int channels, int rate) {
    enum { PCM = 1, BEFORE_DATA = 36, FORMAT_BYTES = 16 };
    const uint64_t frame = (uint64_t)channels * SAMPLE, bytes = (uint64_t)frames * frame;
    wk_text_puts(wav, "RIFF");
    wk__proto_little(wav, BEFORE_DATA + bytes, 4);
    wk_text_puts(wav, "WAVEfmt ");
    wk__proto_little(wav, FORMAT_BYTES, 4);
    wk__proto_little(wav, PCM, 2);
    wk__proto_little(wav, (uint64_t)channels, 2);
    wk__proto_little(wav, (uint64_t)rate, 4);
    wk__proto_little(wav, (uint64_t)rate * frame, 4);
    wk__proto_little(wav, frame, 2);
    wk__proto_little(wav, 8 * SAMPLE, 2);
    wk_text_puts(wav, "data");
    wk__proto_little(wav, bytes, 4);
}

void wk__event_audio(wk_text *out, double wall_time, int64_t step, const char *tag, const float *samples,
                     int64_t frames, int channels, int rate) {
    wk_text value = { 0 }, audio = { 0 }, wav = { 0 };
    wav_header(&wav, frames, channels, rate);
    for (int64_t i = 0; i < frames * channels; i++) {
        const float x = samples[i] > -1 ? samples[i] < 1 ? samples[i] : 1 : samples[i] <= -1 ? -1 : 0; /* NaN: 0 */
        wk__proto_little(&wav, (uint16_t)(int16_t)(x * INT16_MAX), SAMPLE);
    }
    wk__proto_text(&value, 1, tag);
    wk__proto_float(&audio, 1, (float)rate);
    wk__proto_number(&audio, 2, (uint64_t)channels);
    wk__proto_number(&audio, 3, (uint64_t)frames);
    wk__proto_message(&audio, 4, &wav);
    wk__proto_text(&audio, 5, "audio/wav");
    wk__proto_message(&value, 6, &audio);
    wk__event_metadata(&value, "audio", NULL);
    wk__event_summary(out, wall_time, step, &value);
}

/* ---- mesh ---- */

/* Points, faces and colours are values of their own, each of which says which of them there are. */
void wk__event_mesh(wk_text *out, double wall_time, int64_t step, const char *tag, const wk__mesh *mesh) {
    static const char *const names[] = { "VERTEX", "FACE", "COLOR" };
    const float *const numbers[] = { mesh->points, mesh->faces, mesh->colours };
    const int64_t rows[] = { mesh->n_points, mesh->n_faces, mesh->n_points };
    uint64_t components = 0;
    for (int kind = 0; kind < 3; kind++) components |= numbers[kind] ? 2u << kind : 0;
    for (int kind = 0; kind < 3; kind++) {
        if (!numbers[kind]) continue;
        const wk_dims sizes = WK_DIMS(mesh->batch, rows[kind], 3);
        wk_text value = { 0 }, content = { 0 }, shape = { 0 };
        char *name = wk_format("%s_%s", tag, names[kind]);
        wk__proto_text(&value, 1, name ? name : tag);
        wk__event_floats(&value, numbers[kind], sizes);
        wk__proto_text(&content, 2, tag);
        wk__proto_number(&content, 3, (uint64_t)kind + 1);
        wk__proto_text(&content, 5, mesh->config ? mesh->config : "{}");
        for (int axis = 0; axis < sizes.rank; axis++) wk__proto_varint(&shape, (uint64_t)sizes.size[axis]);
        wk__proto_message(&content, 6, &shape);
        wk__proto_number(&content, 7, components);
        wk__event_metadata(&value, "mesh", &content);
        value.failed = value.failed || !name;
        wk__event_summary(out, wall_time, step, &value);
        wk_free(name);
    }
}
