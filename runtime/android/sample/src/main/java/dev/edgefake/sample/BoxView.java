package dev.edgefake.sample;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.view.View;
import dev.edgefake.core.Box;
import dev.edgefake.core.FaceFrame;
import dev.edgefake.core.OperatingPoint;
import dev.edgefake.core.Verdict;
import dev.edgefake.jobs.Progress;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleSupplier;

/** Draws the boxes and scores of the scored frame that is nearest to where the video is, on top of it. */
final class BoxView extends View {
    /** Only some frames are scored; further away their boxes say nothing. */
    private static final double NEAR_S = 1.5;

    private final Paint line = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint text = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final float density;
    private final DoubleSupplier positionS;
    private final List<Progress> scored = new ArrayList<>();
    private OperatingPoint point;

    /** @param positionS where the video is, seconds from its start. */
    BoxView(Context context, DoubleSupplier positionS) {
        super(context);
        this.positionS = positionS;
        density = context.getResources().getDisplayMetrics().density;
        line.setStyle(Paint.Style.STROKE);
        line.setStrokeWidth(3 * density);
        text.setTextSize(16 * density);
    }

    /** What colours stand for. */
    void setPoint(OperatingPoint model) {
        point = model;
    }

    /** Starts over. */
    void clear() {
        scored.clear();
        invalidate();
    }

    /** Another scored frame. */
    void add(Progress progress) {
        scored.add(progress);
        invalidate();
    }

    @Override
    protected void onDraw(Canvas canvas) {
        super.onDraw(canvas);
        Progress nearest = nearest(positionS.getAsDouble());
        if (nearest != null) {
            draw(canvas, nearest);
        }
        if (!scored.isEmpty()) {
            postInvalidateOnAnimation(); // as the video goes on
        }
    }

    private Progress nearest(double timeS) {
        Progress nearest = null;
        for (Progress each : scored) {
            double away = Math.abs(each.timeS - timeS);
            if (away <= NEAR_S && (nearest == null || away < Math.abs(nearest.timeS - timeS))) {
                nearest = each;
            }
        }
        return nearest;
    }

    /** The video fills this view's width or height, and stands in its middle. */
    private void draw(Canvas canvas, Progress frame) {
        float scale = Math.min((float) getWidth() / frame.width, (float) getHeight() / frame.height);
        float left = (getWidth() - scale * frame.width) / 2;
        float top = (getHeight() - scale * frame.height) / 2;
        for (FaceFrame face : frame.faces) {
            Box box = face.face.box;
            line.setColor(color(face));
            text.setColor(color(face));
            float x = left + scale * (float) box.x0;
            float y = top + scale * (float) box.y0;
            canvas.drawRect(x, y, left + scale * (float) box.x1, top + scale * (float) box.y1, line);
            canvas.drawText(String.format(Locale.ROOT, "%.2f", face.score), x, y - 6 * density, text);
        }
    }

    private int color(FaceFrame face) {
        if (point == null || !face.judged) {
            return Color.rgb(158, 158, 158);
        }
        Verdict verdict = point.verdict(face.score, false);
        if (verdict == Verdict.FAKE) {
            return Color.rgb(229, 57, 53);
        }
        return verdict == Verdict.REAL ? Color.rgb(67, 160, 71) : Color.rgb(251, 192, 45);
    }
}
