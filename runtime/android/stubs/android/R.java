package android;

public final class R {
    R() {
        throw new UnsupportedOperationException();
    }

    public static final class attr {
        public static final int progressBarStyleHorizontal = 16842872;

        public attr() {
            throw new UnsupportedOperationException();
        }
    }
}
