package android.widget;

import android.view.SurfaceView;

public class VideoView extends SurfaceView {
    public void setVideoURI(android.net.Uri uri) {
        throw new UnsupportedOperationException();
    }

    public void start() {
        throw new UnsupportedOperationException();
    }

    public void stopPlayback() {
        throw new UnsupportedOperationException();
    }

    public int getCurrentPosition() {
        throw new UnsupportedOperationException();
    }

    public boolean isPlaying() {
        throw new UnsupportedOperationException();
    }

    public void setOnPreparedListener(android.media.MediaPlayer.OnPreparedListener l) {
        throw new UnsupportedOperationException();
    }

    public void setOnErrorListener(android.media.MediaPlayer.OnErrorListener l) {
        throw new UnsupportedOperationException();
    }

    public VideoView(android.content.Context context) {
        super(context);
    }
}
