package dev.edgefake.core;

/** Cutting a face from a frame and making it the classifier's input, as the model was trained. */
final class Crops {
    private Crops() {}

    /**
     * Whole pixels of the frame that a face's box stands for: x0, y0, x1, y1 inside the frame, the latter two excluded,
     * at least one pixel wide and high.
     */
    static int[] rectangle(Box box, Metadata.Crop crop, int height, int width) {
        double halfWidth = (box.x1 - box.x0) / 2;
        double halfHeight = (box.y1 - box.y0) / 2;
        if (crop.square) {
            halfWidth = Math.max(halfWidth, halfHeight);
            halfHeight = halfWidth;
        }
        double grow = 1 + 2 * crop.margin;
        double centerX = (box.x0 + box.x1) / 2;
        double centerY = (box.y0 + box.y1) / 2 + 2 * halfHeight * crop.shift;
        int left = clamp(centerX - halfWidth * grow, 0, width - 1);
        int top = clamp(centerY - halfHeight * grow, 0, height - 1);
        int right = clamp(centerX + halfWidth * grow, left + 1, width);
        int bottom = clamp(centerY + halfHeight * grow, top + 1, height);
        if (crop.share < 1) {
            int across = Math.max(1, (int) Math.rint((right - left) * crop.share));
            int down = Math.max(1, (int) Math.rint((bottom - top) * crop.share));
            left += (right - left - across) / 2;
            top += (bottom - top - down) / 2;
            right = left + across;
            bottom = top + down;
        }
        return new int[] {left, top, right, bottom};
    }

    private static int clamp(double value, int least, int most) {
        return (int) Math.min(Math.max(Math.rint(value), least), most);
    }

    /** The face as the model wants it. */
    static Image cut(Image frame, Box box, Metadata metadata) {
        int[] pixels = rectangle(box, metadata.crop, frame.height, frame.width);
        return Resize.to(frame.cut(pixels[0], pixels[1], pixels[2], pixels[3]), metadata.inputSize);
    }

    /** Crops from begin to end: (value / 255 - mean) / std per channel, float32. */
    static Tensor normalize(java.util.List<Image> crops, int begin, int end, Metadata metadata, Layout layout) {
        int size = metadata.inputSize;
        int pixels = size * size;
        float[] data = new float[3 * pixels * (end - begin)];
        for (int color = 0; color < 3; color++) {
            float std = (float) metadata.std(color);
            float scale = 1 / (255 * std);
            float offset = (float) metadata.mean(color) / std;
            for (int i = begin; i < end; i++) {
                byte[] rgb = crops.get(i).rgb;
                int at = 3 * pixels * (i - begin) + color * layout.colorStep(pixels);
                for (int from = color; from < rgb.length; from += 3, at += layout.pixelStep()) {
                    data[at] = (rgb[from] & 255) * scale - offset;
                }
            }
        }
        return new Tensor(data, layout.shape(end - begin, size, size));
    }
}
