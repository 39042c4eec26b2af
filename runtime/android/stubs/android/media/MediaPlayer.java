package android.media;

public class MediaPlayer {
    public MediaPlayer() {
        throw new UnsupportedOperationException();
    }

    public void setLooping(boolean looping) {
        throw new UnsupportedOperationException();
    }

    public void setVolume(float leftVolume, float rightVolume) {
        throw new UnsupportedOperationException();
    }

    public interface OnPreparedListener {
        void onPrepared(MediaPlayer mp);
    }

    public interface OnErrorListener {
        boolean onError(MediaPlayer mp, int what, int extra);
    }
}
