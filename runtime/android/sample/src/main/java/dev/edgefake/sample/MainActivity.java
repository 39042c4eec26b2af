package dev.edgefake.sample;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.net.Uri;
import android.os.Bundle;
import android.os.Handler;
import android.os.Looper;
import android.provider.MediaStore;
import android.view.Gravity;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.FrameLayout;
import android.widget.LinearLayout;
import android.widget.ProgressBar;
import android.widget.ScrollView;
import android.widget.TextView;
import android.widget.VideoView;
import dev.edgefake.android.Edgefake;
import dev.edgefake.core.EdgefakeException;
import dev.edgefake.core.OperatingPoint;
import dev.edgefake.core.Result;
import dev.edgefake.jobs.Job;
import dev.edgefake.jobs.Listener;
import dev.edgefake.jobs.ModelInfo;
import dev.edgefake.jobs.ModelListener;
import dev.edgefake.jobs.Progress;

/** Pick or record a video; see its faces with their scores, the verdict, and the model's limits. */
public final class MainActivity extends Activity {
    private static final int PICKED = 1;
    private static final int RECORDED = 2;
    private static final int LONGEST_S = 30;
    private static final int STEPS = 1000;

    private Edgefake edgefake;
    private Job job;
    private VideoView video;
    private BoxView boxes;
    private ProgressBar progress;
    private Button cancel;
    private TextView verdict;
    private TextView about;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(content());
        Handler main = new Handler(Looper.getMainLooper());
        edgefake = Edgefake.open(this, Edgefake.FOLDER, 2, main::post);
        edgefake.model(new ModelListener() {
            @Override
            public void onModel(ModelInfo model) {
                boxes.setPoint(OperatingPoint.of(model.metadata));
                about.setText(Texts.of(model));
            }

            @Override
            public void onError(EdgefakeException error) {
                about.setText(error.getMessage());
            }
        });
    }

    @Override
    protected void onDestroy() {
        edgefake.close();
        super.onDestroy();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        if (result != RESULT_OK) {
            return; // the user thought better of it
        }
        Uri uri = data == null ? null : data.getData();
        if (uri == null) {
            verdict.setText(Texts.noVideo(request == RECORDED));
        } else {
            judge(uri);
        }
    }

    private void judge(Uri uri) {
        stop();
        boxes.clear();
        verdict.setText("");
        video.setVideoURI(uri);
        video.start();
        cancel.setEnabled(true);
        progress.setVisibility(View.VISIBLE);
        job = edgefake.video(uri, new Listener() {
            @Override
            public void onFaces(Progress found) {
                boxes.add(found);
                progress.setIndeterminate(Double.isNaN(found.share));
                progress.setProgress((int) (STEPS * found.share));
            }

            @Override
            public void onResult(Result result) {
                over(Texts.of(result));
            }

            @Override
            public void onError(EdgefakeException error) {
                over(error.getMessage());
            }
        });
    }

    private void stop() {
        if (job != null) {
            job.cancel();
        }
        cancel.setEnabled(false);
        progress.setVisibility(View.INVISIBLE);
    }

    private void over(String text) {
        cancel.setEnabled(false);
        progress.setVisibility(View.INVISIBLE);
        verdict.setText(text);
    }

    private void pick() {
        ask(new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("video/*"), PICKED);
    }

    private void record() {
        ask(new Intent(MediaStore.ACTION_VIDEO_CAPTURE).putExtra(MediaStore.EXTRA_DURATION_LIMIT, LONGEST_S), RECORDED);
    }

    private void ask(Intent intent, int request) {
        try {
            startActivityForResult(intent, request);
        } catch (ActivityNotFoundException error) {
            verdict.setText("expected an app that picks or records videos, got none on this device");
        }
    }

    private View content() {
        video = new VideoView(this);
        video.setOnPreparedListener(player -> {
            player.setLooping(true);
            player.setVolume(0, 0);
        });
        video.setOnErrorListener((player, what, extra) -> true); // the job says what is wrong with a file
        boxes = new BoxView(this, () -> video.getCurrentPosition() / 1e3);
        int all = ViewGroup.LayoutParams.MATCH_PARENT;
        FrameLayout stage = new FrameLayout(this);
        stage.addView(video, new FrameLayout.LayoutParams(all, all, Gravity.CENTER));
        stage.addView(boxes, new FrameLayout.LayoutParams(all, all, Gravity.CENTER));
        progress = new ProgressBar(this, null, android.R.attr.progressBarStyleHorizontal);
        progress.setMax(STEPS);
        progress.setVisibility(View.INVISIBLE);
        verdict = label(18);
        about = label(14);
        LinearLayout words = column();
        words.addView(verdict);
        words.addView(about);
        ScrollView scroll = new ScrollView(this);
        scroll.addView(words);
        LinearLayout screen = column();
        screen.setFitsSystemWindows(true);
        screen.addView(buttons());
        screen.addView(progress);
        screen.addView(stage, new LinearLayout.LayoutParams(all, 0, 3));
        screen.addView(scroll, new LinearLayout.LayoutParams(all, 0, 2));
        return screen;
    }

    private View buttons() {
        LinearLayout row = new LinearLayout(this);
        row.setOrientation(LinearLayout.HORIZONTAL);
        row.addView(button("Pick a video", view -> pick()));
        row.addView(button("Record one", view -> record()));
        cancel = button("Cancel", view -> stop());
        cancel.setEnabled(false);
        row.addView(cancel);
        return row;
    }

    private Button button(String text, View.OnClickListener click) {
        Button button = new Button(this);
        button.setText(text);
        button.setOnClickListener(click);
        return button;
    }

    private TextView label(int size) {
        TextView label = new TextView(this);
        label.setTextSize(size);
        label.setTextIsSelectable(true);
        return label;
    }

    private LinearLayout column() {
        LinearLayout column = new LinearLayout(this);
        column.setOrientation(LinearLayout.VERTICAL);
        int pad = (int) (8 * getResources().getDisplayMetrics().density);
        column.setPadding(pad, pad, pad, pad);
        return column;
    }
}
