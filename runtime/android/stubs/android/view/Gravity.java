package android.view;

public class Gravity {
    public static final int CENTER = 17;

    public Gravity() {
        throw new UnsupportedOperationException();
    }
}
