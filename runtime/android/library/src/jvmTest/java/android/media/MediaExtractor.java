package android.media;

import android.content.res.AssetFileDescriptor;
import java.io.IOException;
import java.nio.ByteBuffer;

/** Android's, as far as {@code VideoFile} touches it, over a {@link Recording}. A sample is the number of its frame. */
public final class MediaExtractor {
    private final Recording recording = Recording.current;
    private boolean ready;
    private boolean released;
    private int at;

    public MediaExtractor() {
        recording.open++;
    }

    public void setDataSource(AssetFileDescriptor file) throws IOException {
        if (recording.unreadable != null) {
            throw recording.unreadable;
        }
    }

    public int getTrackCount() {
        return recording.tracks.size();
    }

    public MediaFormat getTrackFormat(int index) {
        return recording.tracks.get(index);
    }

    public void selectTrack(int index) {
        ready = recording.tracks.get(index).getString(MediaFormat.KEY_MIME).startsWith("video/");
    }

    public int readSampleData(ByteBuffer to, int offset) {
        require();
        if (at == recording.timesUs.size()) {
            return -1;
        }
        to.putInt(offset, at);
        return 4;
    }

    public long getSampleTime() {
        require();
        return recording.timesUs.get(at);
    }

    public boolean advance() {
        require();
        at++;
        return at < recording.timesUs.size();
    }

    public void release() {
        if (!released) {
            released = true;
            recording.open--;
        }
    }

    private void require() {
        if (!ready || released) {
            throw new IllegalStateException("no track is selected, or it was released");
        }
    }
}
